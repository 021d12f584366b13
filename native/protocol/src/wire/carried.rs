use std::sync::{Arc, Mutex, PoisonError};

use tonic::body::Body;
use tonic::codegen::http;

/// A body that takes the place of the one tonic makes: as an extension of a response it passes
/// tonic's codec unseen, and the service around tonic's puts it in.
#[derive(Clone)]
pub struct Carried(Arc<Mutex<Option<Body>>>);

impl Carried {
    /// A response of tonic's with `body` in place of what its codec makes of `shell`.
    pub fn response<T>(shell: T, body: Body) -> tonic::Response<T> {
        let mut response = tonic::Response::new(shell);
        response.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(body)))));
        response
    }

    /// Puts the body in, if the response has one.
    pub fn unload(mut response: http::Response<Body>) -> http::Response<Body> {
        let carried = response.extensions_mut().remove::<Carried>();
        match carried.and_then(|carried| carried.take()) {
            Some(body) => response.map(|_| body),
            None => response,
        }
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
