//! The languages that gateways and programs ask in. Each of them only translates what [`super::Judge`] decides.

mod challenge;
pub mod grpc;
pub mod http;
mod identity;
mod refusal;
mod requirements;
