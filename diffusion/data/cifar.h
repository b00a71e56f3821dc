#pragma once

#include "diffusion/data/image_set.h"

namespace tweedie::data {

/// The binary versions of CIFAR-10 (data_batch_1.bin ... data_batch_5.bin, test_batch.bin) and CIFAR-100 (train.bin,
/// test.bin; the fine labels) in `folder`. A file of any other size is an Error that gives both sizes.
ImageSet load_cifar10(const std::filesystem::path& folder, Split split);
ImageSet load_cifar100(const std::filesystem::path& folder, Split split);

}  // namespace tweedie::data
