#pragma once

#include <map>
#include <string>
#include <string_view>

namespace tweedie {

/// A Gaussian path from data to noise: z = alpha(t) x + sigma(t) e with e ~ N(0, I). t = 0 is data, larger t is
/// noisier. Everything is double. A value type: copies are cheap and independent.
///
///   linear   alpha = 1 - t, sigma = t                                     (flow matching, SiT: Ma et al. 2024)
///   edm      alpha = 1, sigma = t                                         (Karras et al. 2022)
///   vp       alpha = exp(-B), B = int_0^t b, b = beta_min + beta_slope t, sigma^2 = 1 - alpha^2, g^2 = 2 b
///                                                                         (Vastola 2025; twice the usual rate)
///   vp-song  the same with alpha = exp(-B/2), g^2 = b                     (Song et al. 2021)
///   cosine   alpha = cos(pi t/2), sigma = sin(pi t/2)                     (Nichol & Dhariwal 2021, without their
///   offset)
///
/// It answers for 0 <= t <= t_max and throws Error for any other t. [t_min, t_max] is where training draws t and where
/// samplers start and stop unless told otherwise.
class Process {
 public:
  static Process linear();
  static Process edm();
  static Process vp();
  static Process vp_song();
  static Process cosine();
  /// By name, with parameters that replace the defaults: t_min and t_max (linear, cosine: 0.001, 1; vp, vp-song: 0.001,
  /// 1; edm: 0.002, 80), and for vp and vp-song beta_min (0.1) and beta_slope (19.9). Throws UsageError for an unknown
  /// name or parameter and for values out of range.
  static Process named(std::string_view name, const std::map<std::string, double>& parameters = {});
  /// From what json() writes: an object with "name" and parameters.
  static Process from_json(std::string_view text);

  std::string name() const;
  std::map<std::string, double> parameters() const;
  /// {"name": "vp", "beta_min": 0.1, ...}, doubles written so that reading gives the same bits.
  std::string json() const;
  bool operator==(const Process&) const = default;

  double t_min() const { return t_min_; }
  double t_max() const { return t_max_; }

  double alpha(double t) const;
  double sigma(double t) const;
  double alpha_derivative(double t) const;
  /// Infinite at t = 0 of vp and vp-song.
  double sigma_derivative(double t) const;
  /// sigma' alpha - alpha' sigma > 0: how fast (alpha, sigma) turns; every conversion of the velocity divides by it.
  /// Formed without cancellation. Infinite at t = 0 of vp and vp-song.
  double rotation(double t) const;
  /// f = alpha'/alpha of the forward SDE dz = f z dt + g dW. Infinite (negative) where alpha = 0.
  double f(double t) const;
  /// g^2 = (sigma^2)' - 2 f sigma^2. Infinite where alpha = 0.
  double g2(double t) const;
  /// log(alpha^2/sigma^2); +infinity at sigma = 0, -infinity at alpha = 0.
  double log_snr(double t) const;
  /// The t with this log_snr, which may be infinite. Throws Error where no t in [0, t_max] has it (beyond rounding).
  double t_at_log_snr(double log_snr) const;
  /// The t with this sigma. Throws like t_at_log_snr.
  double t_at_sigma(double sigma) const;

 private:
  enum class Kind { linear, edm, vp, vp_song, cosine };
  Process(Kind kind, double t_min, double t_max) : kind_(kind), t_min_(t_min), t_max_(t_max) {}
  static Process defaults_of(std::string_view name);
  void check(double t) const;
  double inside(double t, const char* what, double value) const;
  bool variance_preserving() const { return kind_ == Kind::vp || kind_ == Kind::vp_song; }
  double rate() const { return kind_ == Kind::vp ? 1.0 : 0.5; }  // alpha = exp(-rate int b)
  double decay(double t) const;                                  // rate int_0^t b
  double decay_rate(double t) const;                             // rate b(t)
  double t_at_decay(double decay) const;

  Kind kind_;
  double t_min_, t_max_;
  double beta_min_ = 0.1, beta_slope_ = 19.9;
};

}  // namespace tweedie
