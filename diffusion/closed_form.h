#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "diffusion/data/image_set.h"
#include "diffusion/process.h"
#include "diffusion/score_model.h"

namespace tweedie {

// Score models without training, by name: what a network is held against, and what samplers, likelihoods and measures
// take in its place.

/// What they are made from.
struct ClosedFormGround {
  data::ImageSet images;
  Process process = Process::linear();
  Device device;
  std::uint64_t seed = 0;               // of draws and of random features
  std::shared_ptr<ScoreModel> network;  // of the hybrids; none otherwise
};

/// The models that parse_closed_form knows, in words for --help.
std::string closed_form_help();
/// Is it a hybrid's name, which needs a network?
bool needs_network(std::string_view text);

/// "empirical", "mirrored": the exact score of the images, of the images and their flips; by class where labels are
///   asked for (EmpiricalScoreModel).
/// "gaussian": the best Gaussian, Wiener's, denoiser (GaussianScore).
/// "truth": the law that the data gaussian:D and mixture:... are drawn from (GaussianMixtureScore).
/// "patch[:SIDE]": the posterior over patches of SIDE pixels (odd); without it they grow with the noise (PatchScore).
/// "features[:COUNT[,DRAWS]]": ridge regression on COUNT random features of DRAWS noised images (512, four times as
///   many; LinearScore); their bandwidth is the root mean square distance between two images.
/// "ntk[:TIME[,DRAWS]]": kernel regression with the tangent kernel of an infinitely wide network of two hidden layers,
///   trained for TIME in units of its fastest mode (1e4, 512 draws; KernelScore).
/// "hybrid-time:T", "hybrid-shells:LIMIT": the exact score at t >= T, or where r* > LIMIT; the network elsewhere.
/// Throws UsageError for anything else.
std::shared_ptr<ScoreModel> parse_closed_form(std::string_view text, const ClosedFormGround& ground);

}  // namespace tweedie
