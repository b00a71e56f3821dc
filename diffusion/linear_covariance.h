#pragma once

#include <vector>

#include "diffusion/linear_model.h"

namespace tweedie {

/// Places (z, t) at which a model is asked.
struct Queries {
  std::vector<double> z, t;  // (Q, d), (Q)
};

// How a linear model's answers vary with its training draws (Vastola 2025, section 5). All results are covariances of
// the denoiser mu between queries, (Q, Q, d, d); that of the score is alpha alpha'/(sigma^2 sigma'^2) times it.

/// With the inputs (z_i, t_i) fixed and every x0_i drawn again from its posterior; exact for any number of draws:
/// (1/P^2) sum_i l_i^2 k_i(z) k_i(z') Cov(x0 | z_i), k_i(z) = phi(z)' (S + ridge I)^-1 phi_i.
std::vector<double> redraw_covariance(const FeatureMap& features, const PointSet& set, const Process& process,
                                      const LinearDraws& draws, double ridge, const Queries& queries);

/// With all draws made again; leading order for P much larger than F: (1/P) E[l^2 k(z, z'') k(z', z'') (Cov(x0 | z'') +
/// m m')] less what the ridge leaves of its mean, with k of the infinite set and the misfit m = E[x0 | z''] - W
/// phi(z''). Expectations are over `population` draws of the plan (its `count` is P). `misfit` = false leaves m out.
std::vector<double> large_sample_covariance(const FeatureMap& features, const PointSet& set, const DrawPlan& plan,
                                            double ridge, const Queries& queries, std::int64_t population,
                                            bool misfit = true);

}  // namespace tweedie
