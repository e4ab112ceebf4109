//! The languages that gateways and programs ask in. Each of them only translates what [`super::Judge`] decides.

pub mod grpc;
