//! The account of a stream's credit, under any order of sending and acknowledging.

use proptest::prelude::*;
use snakepit_protocol::Credit;

proptest! {
    #[test]
    fn a_sender_that_asks_first_never_exceeds_the_window_nor_the_buffer_by_a_chunk(
        window in 1_usize..20,
        max_buffer in 1_usize..200,
        steps in prop::collection::vec((any::<bool>(), 0_usize..100), 0..300),
    ) {
        let mut credit = Credit::new(window, max_buffer);
        let mut out = std::collections::VecDeque::new();
        for (send, size) in steps {
            if send && credit.available() {
                let bytes_before: usize = out.iter().sum();
                prop_assert!(out.len() < window && bytes_before < max_buffer);
                credit.spend(size);
                out.push_back(size);
            } else if !send {
                let acknowledged = size % 7;
                credit.acknowledge(acknowledged);
                out.drain(..acknowledged.min(out.len()));
            }
            prop_assert_eq!(credit.unacknowledged(), (out.len(), out.iter().sum::<usize>()));
        }
    }

    #[test]
    fn all_credit_is_back_when_all_is_acknowledged(
        sizes in prop::collection::vec(0_usize..1000, 1..50),
    ) {
        let mut credit = Credit::new(50, 0);
        sizes.iter().for_each(|size| credit.spend(*size));
        credit.acknowledge(sizes.len());
        prop_assert!(credit.available());
        prop_assert_eq!(credit.unacknowledged(), (0, 0));
    }
}

#[test]
fn a_chunk_larger_than_the_buffer_passes_alone() {
    let mut credit = Credit::new(10, 100);
    assert!(credit.available());
    credit.spend(1_000);
    assert!(!credit.available());
    credit.acknowledge(1);
    assert!(credit.available());
}

#[test]
fn without_limits_nothing_is_kept() {
    let mut credit = Credit::new(0, 0);
    (0..1_000).for_each(|_| credit.spend(1_000_000));
    assert!(credit.available());
    assert_eq!(credit.unacknowledged(), (0, 0));
}
