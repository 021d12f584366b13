use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// The one tokio runtime, started at the first use. A NIF library is never unloaded, so the
/// runtime lives until the VM ends. `None` when the system gives no thread.
pub(crate) fn handle() -> Option<&'static Handle> {
    RUNTIME.get_or_init(build).as_ref().map(Runtime::handle)
}

fn build() -> Option<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, 4))
        .thread_name("snakepit-io")
        .enable_all()
        .build()
        .ok()
}
