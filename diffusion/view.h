#pragma once

#include <string>
#include <string_view>

#include "diffusion/process.h"

namespace tweedie {

// Every quantity that a score model can answer with is linear in the clean image x and the noise e of z = alpha x +
// sigma e, or rather in their posterior means given z. So any two are tied by to = p from + q z with p and q functions
// of t. This header is the one place where such coefficients are formed, in double.

/// What is asked of a score model:
///   eps    the noise e;
///   x0     the clean image x (the denoiser, the posterior mean);
///   v      the velocity of the path, dz/dt = alpha' x + sigma' e, which is the right-hand side of the probability-flow
///          ODE of every process (linear: e - x). For cosine it is pi/2 times the angular velocity alpha e - sigma x of
///          Salimans & Ho 2022; for vp and vp-song it is another quantity than that;
///   score  the gradient of log p_t(z), -e/sigma.
enum class View { eps, x0, v, score };
std::string_view name_of(View view);
/// Throws UsageError for an unknown name.
View parse_view(std::string_view name);

/// A target c_x x + c_e e.
struct Coefficients {
  double x = 0.0, e = 0.0;
};

/// to = p from + q z.
struct ViewConversion {
  double p = 1.0, q = 0.0;
};

/// How the noise level reaches a network's time embedding.
enum class TimeInput {
  t1000,             // "1000t": for sinusoidal embeddings and diffusers' habits
  t,                 // "t"
  sigma,             // "sigma": diffusers' `fourier` embedding, which takes the logarithm itself
  log_sigma_over_4,  // "log_sigma_over_4": log(sigma/alpha)/4, EDM's c_noise
};
std::string_view name_of(TimeInput input);
TimeInput parse_time_input(std::string_view name);
/// Throws Error where it is infinite (log_sigma_over_4 at sigma = 0 or alpha = 0).
double time_input(const Process& process, double t, TimeInput input);

/// What a network's raw output F means.
///   plain  F(z, time) is the view itself.
///   edm    D = c_skip z' + c_out F(c_in z', time) is the denoiser, in the variables z' = z/alpha, s' = sigma/alpha in
///          which any process is EDM's (Karras et al. 2022, table 1): c_skip = d^2/(s'^2 + d^2), c_out = s' d/sqrt(s'^2
///          + d^2), c_in = 1/sqrt(s'^2 + d^2), d = sigma_data. With r = sqrt(sigma^2 + alpha^2 d^2) this is F =
///          (sigma/d x - alpha d e)/r of the input z/r: finite for every t, alpha = 0 and sigma = 0 included.
struct Parameterisation {
  enum class Preconditioning { plain, edm };
  Preconditioning preconditioning = Preconditioning::plain;
  View view = View::v;      // plain only
  double sigma_data = 0.5;  // edm only
  TimeInput time_input = TimeInput::t1000;

  static Parameterisation plain(View view, TimeInput time_input = TimeInput::t1000);
  static Parameterisation edm(double sigma_data, TimeInput time_input = TimeInput::log_sigma_over_4);
  /// {"preconditioning": "plain", "view": "v", "time_input": "1000t"} or {"preconditioning": "edm", "sigma_data": 0.5,
  /// "time_input": ...}.
  std::string json() const;
  static Parameterisation from_json(std::string_view text);
  bool operator==(const Parameterisation&) const = default;
};

/// What z is multiplied with before it enters the network: 1 for plain, 1/r for edm.
double input_scale(const Process& process, double t, const Parameterisation& parameterisation);

/// The regression target of denoising score matching as c_x x + c_e e. Throws Error where a coefficient is infinite:
/// score at sigma = 0, v at t = 0 of vp and vp-song.
Coefficients target_coefficients(const Process& process, double t, View view);
Coefficients target_coefficients(const Process& process, double t, const Parameterisation& parameterisation);

/// The target from a posterior mean x^ of the clean image: target = p x^ + q z, which is c_x x^ + c_e (z - alpha
/// x^)/sigma with the coefficients formed at once. Throws Error at sigma = 0.
ViewConversion from_posterior_mean(const Process& process, double t, View view);
ViewConversion from_posterior_mean(const Process& process, double t, const Parameterisation& parameterisation);

/// Throws Error where `from` does not determine `to` together with z: from eps (or score) at alpha = 0, from x0 at
/// sigma = 0; and where `to` itself is infinite (see target_coefficients).
ViewConversion conversion(const Process& process, double t, View from, View to);
ViewConversion conversion(const Process& process, double t, const Parameterisation& from, View to);

/// Errors at the same z convert by p alone: |error in `to`|^2 = error_factor |error in `from`|^2. In eps this is
/// sigma^2 |score error|^2; in v of linear it is the score error weighted with t^2/(1 - t)^2.
double error_factor(const Process& process, double t, View from, View to);

}  // namespace tweedie
