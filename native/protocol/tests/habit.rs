//! What usually goes well is relied on, less often the more often it disappoints.

use snakepit_protocol::Habit;

/// How often it has to go well until it is relied on.
fn needed(habit: &mut Habit) -> u32 {
    let mut times = 0;
    while !habit.is_usual() {
        habit.note(true);
        times += 1;
    }
    times
}

/// How often it may disappoint until it is relied on no more.
fn disappoint(habit: &mut Habit) -> u32 {
    let mut times = 0;
    while habit.is_usual() {
        habit.proved(false);
        times += 1;
    }
    times
}

#[test]
fn what_went_well_sixteen_times_in_a_row_is_usual() {
    let mut habit = Habit::default();
    assert_eq!(needed(&mut habit), 16);
    habit.note(false);
    assert_eq!(needed(&mut habit), 16);
}

#[test]
fn what_disappoints_is_relied_on_less_and_less_but_not_never() {
    let mut habit = Habit::default();
    let mut all = Vec::new();
    for _ in 0..12 {
        all.push(needed(&mut habit));
        assert_eq!(disappoint(&mut habit), 2);
    }
    let doubled = (4..=14).map(|power| 1 << power);
    assert_eq!(all, doubled.chain([1 << 14]).collect::<Vec<u32>>());
}

#[test]
fn what_disappoints_now_and_then_is_relied_on_all_the_same() {
    let mut habit = Habit::default();
    needed(&mut habit);
    for time in 0..1_000 {
        habit.proved(time % 5 != 0);
        assert!(habit.is_usual());
    }
}

#[test]
fn what_goes_well_again_is_relied_on_as_before() {
    let mut habit = Habit::default();
    for _ in 0..4 {
        needed(&mut habit);
        disappoint(&mut habit);
    }
    assert_eq!(needed(&mut habit), 256);
    for _ in 0..4 {
        habit.proved(true);
    }
    habit.note(false);
    assert_eq!(needed(&mut habit), 16);
}

#[test]
fn what_did_harm_once_is_not_relied_on() {
    let mut habit = Habit::wary();
    needed(&mut habit);
    for _ in 0..100 {
        habit.proved(true);
    }
    habit.did_harm();
    assert!(!habit.is_usual());
    assert_eq!(needed(&mut habit), 32);
}

#[test]
fn harm_is_forgiven_after_a_long_time() {
    let mut habit = Habit::wary();
    for _ in 0..4 {
        needed(&mut habit);
        habit.did_harm();
    }
    assert_eq!(needed(&mut habit), 256);
    for _ in 0..255 {
        habit.proved(true);
    }
    habit.note(false);
    assert_eq!(needed(&mut habit), 256);
    habit.proved(true);
    habit.note(false);
    assert_eq!(needed(&mut habit), 128);
}
