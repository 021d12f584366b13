//! What the meter of a stream tells of its consumer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use snakepit_client::{Deadlines, Pace};
use support::peer::Peer;
use support::{Running, chunk, frozen, last};
use tokio::time::advance;

const HELD: Duration = Duration::from_millis(7);

#[test]
fn a_stall_lasts_from_the_last_credit_to_the_next() {
    frozen(async {
        let mut peer = Peer::start();
        let pace = Arc::new(Pace::local(2, 0));
        let mut running = Running::plain(&peer.connection(), &pace, Deadlines::default());
        let (_request, output) = peer.streams.next().await.accept();

        output.send(chunk(0));
        running.chunk().await;
        assert_eq!(pace.meter().stalled_since, None);
        assert_eq!(pace.acknowledge(0), None, "nobody is held up yet");

        output.send(chunk(1));
        running.chunk().await;
        assert!(pace.meter().stalled_since.is_some());
        advance(HELD).await;
        let stall = pace.acknowledge(1).unwrap_or_default();
        assert!(stall >= HELD, "{stall:?}");

        let meter = pace.meter();
        assert_eq!(meter.stalled_since, None);
        assert_eq!((meter.chunks, meter.stalls, meter.stalled), (2, 1, stall));
        assert!(meter.bytes > 0 && meter.first.is_some());

        output.send(last());
        drop(output);
        let (_rest, ended) = running.end().await;
        assert_eq!(ended, Ok(()));
    });
}
