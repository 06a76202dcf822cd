// Owns: what a further row costs a step that decodes, as measured while the engine runs: a line
// through the times of the last steps over their rows. Thread rule: the engine thread.
#pragma once

#include <algorithm>
#include <optional>

namespace hadal {

class StepCost {
 public:
  // rows: all of them drawn from, no part of a prompt.
  void Note(double rows, double seconds) {
    // A step that waited for the CPU says nothing about rows.
    if (const auto line = Fit(); line && line->At(rows) > 0) {
      seconds = std::min(seconds, 2 * line->At(rows));
    }
    for (double* sum : {&n_, &x_, &y_, &xx_, &xy_}) *sum *= kFade;
    n_ += 1;
    x_ += rows;
    y_ += seconds;
    xx_ += rows * rows;
    xy_ += rows * seconds;
  }
  // As many rows as cost what a step costs before its first row; below 0 where more rows are dearer
  // one by one. The default while the steps are too much alike to tell: so it is tried again.
  double RowsOfAStep() const {
    const auto line = Fit();
    if (!line) return kDefault;
    return line->row <= 0 ? kMost : std::clamp(line->step / line->row, -kMost, kMost);
  }

  static constexpr double kDefault = 2, kMost = 64;

 private:
  static constexpr double kFade = 0.98;  // the last 50 steps count
  static constexpr double kFewest = 16;
  static constexpr double kSmallestSpread = 0.25;  // variance of the rows

  struct Line {
    double step = 0, row = 0;  // seconds
    double At(double rows) const { return step + row * rows; }
  };
  std::optional<Line> Fit() const {
    const double spread = n_ * xx_ - x_ * x_;
    if (n_ < kFewest || spread < kSmallestSpread * n_ * n_) return std::nullopt;
    const double row = (n_ * xy_ - x_ * y_) / spread;
    return Line{(y_ - row * x_) / n_, row};
  }

  double n_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

}  // namespace hadal
