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

#[test]
fn what_went_well_sixteen_times_in_a_row_is_usual() {
    let mut habit = Habit::default();
    assert_eq!(needed(&mut habit), 16);
    habit.note(false);
    assert!(!habit.is_usual());
    assert_eq!(needed(&mut habit), 16);
}

#[test]
fn what_disappoints_is_relied_on_less_and_less_but_not_never() {
    let mut habit = Habit::default();
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(needed(&mut habit));
        habit.proved(false);
    }
    assert_eq!(all, [16, 64, 256, 1_024, 4_096, 16_384, 16_384]);
}

#[test]
fn what_goes_well_again_is_relied_on_as_before_after_some_time() {
    let mut habit = Habit::default();
    needed(&mut habit);
    habit.proved(false);
    habit.proved(false);
    assert_eq!(needed(&mut habit), 256);
    for _ in 0..4 {
        habit.proved(true);
    }
    habit.note(false);
    assert_eq!(needed(&mut habit), 16);
}
