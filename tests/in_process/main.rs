//! The controller against the embedded API server, in one process and with the clock paused.

mod cluster;
mod faults;
mod life;
mod organisation;
