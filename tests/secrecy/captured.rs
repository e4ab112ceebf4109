//! All that is logged in this process, even what is never switched on.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
};

use tokenwright::telemetry;

#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What the tests of this process log from now on, all of them together: a subscriber of one thread would miss lines
    /// that another thread has come by first.
    pub(crate) fn begin() -> &'static Self {
        static CAPTURED: OnceLock<Captured> = OnceLock::new();
        CAPTURED.get_or_init(|| {
            let captured = Self::default();
            let writer = captured.clone();
            let subscriber = telemetry::subscriber("trace", move || writer.clone());
            tracing::subscriber::set_global_default(subscriber).unwrap();
            captured
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
