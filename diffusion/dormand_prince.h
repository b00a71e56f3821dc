#pragma once

#include <array>

namespace tweedie::dormand_prince {

// Dormand & Prince 1980, table 2: nodes, the tableau (whose last row is the fifth-order solution, so that the last
// stage is the next step's first), and fifth- minus fourth-order weights.
inline constexpr int stages = 7;
inline constexpr std::array<double, stages> nodes = {0.0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1.0, 1.0};
inline constexpr double tableau[stages][stages - 1] = {
    {},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
};
inline constexpr std::array<double, stages> error_weights = {71.0 / 57600,      0.0,        -71.0 / 16695, 71.0 / 1920,
                                                             -17253.0 / 339200, 22.0 / 525, -1.0 / 40};

/// By how much the next step is longer, from error / tolerance of the last: 0.9 ratio^(-1/5) within [0.2, 5].
double growth(double ratio);

}  // namespace tweedie::dormand_prince
