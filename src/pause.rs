//! How long to wait before something that failed is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);

/// 200 ms, doubled after every failure up to `longest`, and of that between half and all by `jitter` (0 to 1), so that
/// many things that failed together do not come back together.
pub(crate) fn growing_pause(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(20)).min(longest);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}
