//! What becomes of dead letters when somebody looks after them, and that no row leaves the books by it.

use std::time::Duration;

use millstream::queue::{
    DeadFilter, Moved,
    QueueName::{self, Alert, Notify, Transform, Validate},
    Queues, Span, Verdict,
};

use crate::engine::{Engine, Limits, done, frame, numbers, publish, receive, settle, sized};

fn of(queue: QueueName) -> DeadFilter {
    DeadFilter { queue: Some(queue), ..DeadFilter::default() }
}

async fn letters(queues: &Queues, filter: DeadFilter) -> Vec<i64> {
    let letters = queues.dead_letters(filter, Span::ALL).await.expect("listed");
    letters.into_iter().map(|letter| letter.letter).collect()
}

/// Gives up the next frame of a queue.
async fn give_up(queues: &Queues, queue: QueueName, reason: &str) {
    let held = receive(queues, queue, queues.holder(), 1).await;
    settle(queues, &held[0], Verdict::Dead(reason.into())).await.expect("settled");
}

async fn assert_balanced(queues: &Queues, queue: QueueName) {
    let audit = queues.audit(true).await.expect("audited");
    assert_eq!(audit.miscounts, []);
    assert_eq!(audit.balances[queue as usize].missing(), 0, "{audit:?}");
}

pub(crate) async fn conformance_dead_letter_is_kept_as_it_was<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, [sized(7, 2, 50)]).await;
    engine.advance(Duration::from_secs(3)).await;
    give_up(&queues, Transform, "it cannot be read").await;
    let number = letters(&queues, DeadFilter::default()).await[0];
    let (kept, bytes) = queues.dead_letter(number).await.expect("read").expect("there");
    let expected = sized(7, 2, 50);
    assert_eq!((kept.queue, kept.lane, kept.frame), (Transform, expected.lane, expected.id));
    assert_eq!((kept.rows, kept.bytes, kept.attempts), (7, 50, 1));
    assert_eq!((kept.reason.as_str(), kept.died_at - kept.published_at), ("it cannot be read", 3_000_000));
    assert_eq!(bytes, expected.bytes);
    assert!(queues.dead_letter(number + 1).await.expect("read").is_none());
}

pub(crate) async fn conformance_dead_letter_tells_frame_and_reason<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, [sized(7, 2, 50)]).await;
    give_up(&queues, Transform, "it cannot be read").await;
    let number = letters(&queues, DeadFilter::default()).await[0];
    for _ in 0..2 {
        let (kept, bytes) = queues.dead_letter(number).await.expect("read").expect("there");
        let expected = sized(7, 2, 50);
        assert_eq!((kept.queue, kept.lane, kept.frame), (Transform, expected.lane, expected.id));
        assert_eq!((kept.rows, kept.bytes, kept.attempts), (7, 50, 1));
        assert_eq!((kept.letter, kept.reason.as_str()), (number, "it cannot be read"));
        assert_eq!(bytes, expected.bytes);
    }
    assert!(queues.dead_letter(number + 1).await.expect("read").is_none());
}

pub(crate) async fn conformance_dead_letter_goes_to_the_end_of_its_lane_or_away<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=3).map(|number| frame(number, 0))).await;
    give_up(&queues, Transform, "").await;
    // Its id was published within the dedupe window: it is no repeat for that.
    let batch = queues.requeue(of(Transform), Span::ALL).await.expect("requeued");
    assert_eq!(batch.done[Transform as usize], Moved { letters: 1, rows: 1 });
    assert_eq!(letters(&queues, of(Transform)).await, [0; 0]);
    let run = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!(numbers(&run), [2, 3, 1], "at the end of its lane");
    assert_eq!(run[2].attempts, 0);
    assert_eq!(run[2].frame, frame(1, 0));
    settle(&queues, &run[0], Verdict::Dead("first".into())).await.expect("settled");
    settle(&queues, &run[1], Verdict::Dead("second".into())).await.expect("settled");
    settle(&queues, &run[2], Verdict::Dead("again".into())).await.expect("settled");

    let kept = queues.dead_letters(of(Transform), Span::ALL).await.expect("listed");
    assert_eq!(kept.len(), 3);
    let second = kept.iter().find(|kept| kept.reason == "second").expect("there");
    let only = DeadFilter { letters: vec![second.letter], ..DeadFilter::default() };
    let batch = queues.drop_dead(only, Span::ALL).await.expect("dropped");
    assert_eq!(batch.done[Transform as usize], Moved { letters: 1, rows: 3 });
    let mut left = letters(&queues, of(Transform)).await;
    left.push(second.letter);
    left.sort_unstable();
    assert_eq!(left, kept.iter().map(|kept| kept.letter).collect::<Vec<_>>());
}

pub(crate) async fn conformance_dead_letters_are_found_by_what_is_known_of_them<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for (index, (queue, reason)) in
        [(Validate, "one"), (Alert, "two"), (Alert, "one more")].into_iter().enumerate()
    {
        publish(&queues, queue, [frame(1 + index as u32, 0)]).await;
        give_up(&queues, queue, reason).await;
        engine.advance(E::MOMENT).await;
    }
    let all = letters(&queues, DeadFilter::default()).await;
    let [first, second, third] = all[..] else { panic!("{all:?}") };
    let died = queues.dead_letter(second).await.expect("read").expect("there").0.died_at;
    let reason = Some("one".to_owned());
    for (filter, expected) in [
        (of(Alert), vec![second, third]),
        (DeadFilter { reason: reason.clone(), ..DeadFilter::default() }, vec![first, third]),
        (DeadFilter { reason, ..of(Alert) }, vec![third]),
        (DeadFilter { since: Some(died), ..DeadFilter::default() }, vec![second, third]),
        (DeadFilter { until: Some(died), ..DeadFilter::default() }, vec![first]),
        (DeadFilter { letters: vec![third, first, 99], ..DeadFilter::default() }, vec![first, third]),
    ] {
        assert_eq!(letters(&queues, filter.clone()).await, expected, "{filter:?}");
    }
    let after = Span { after: first, up_to: second };
    let found = queues.dead_letters(DeadFilter::default(), after).await.expect("listed");
    assert_eq!(found.len(), 1);
}

pub(crate) async fn conformance_dead_letter_that_is_requeued_comes_again_as_new<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Transform, (1..=3).map(|number| frame(number, 0))).await;
    give_up(&queues, Transform, "").await;
    // Its id was published within the dedupe window: it is no repeat for that.
    let batch = queues.requeue(of(Transform), Span::ALL).await.expect("requeued");
    assert_eq!(batch.done[Transform as usize], Moved { letters: 1, rows: 1 });
    assert_balanced(&queues, Transform).await;
    let depth = queues.depth(Transform).await.expect("depth");
    assert_eq!((depth.frames, depth.rows, depth.dead, depth.dead_rows, depth.dead_bytes), (3, 6, 0, 0, 0));
    let run = receive(&queues, Transform, queues.holder(), 9).await;
    assert_eq!(numbers(&run), [2, 3, 1], "at the end of its lane");
    assert_eq!(run[2].attempts, 0);
    assert_eq!(run[2].frame, frame(1, 0));
    // But publishing it once more is.
    publish(&queues, Transform, [frame(1, 0)]).await;
    assert_eq!(queues.depth(Transform).await.expect("depth").frames, 3);
}

pub(crate) async fn conformance_dead_letters_whose_queue_is_full_stay<E: Engine>() {
    let engine = E::start(Limits { queue_bytes_max: 3000, dead_bytes_max: 3000, ..Limits::default() }).await;
    let queues = engine.queues();
    for queue in [Validate, Notify] {
        for number in 1..=4 {
            publish(&queues, queue, [sized(number, 0, 1000)]).await;
            give_up(&queues, queue, "").await;
        }
        publish(&queues, queue, [sized(5, 0, 1500)]).await;
        let kept = if queue == Notify { 2 } else { 4 };
        assert_eq!(letters(&queues, of(queue)).await.len(), kept, "{queue}: the dead of notify have a limit");
        let batch = queues.requeue(of(queue), Span::ALL).await.expect("requeued");
        // Nothing in notify may have to give way; a publisher elsewhere may go beyond the limit by one frame.
        let back = if queue == Notify { 1 } else { 2 };
        assert_eq!(batch.done[queue as usize].letters, back, "{queue}");
        assert_eq!(batch.no_room[queue as usize].letters, kept as u64 - back, "{queue}");
        assert_eq!(letters(&queues, of(queue)).await.len() as u64, kept as u64 - back);
        assert_balanced(&queues, queue).await;
    }
}

pub(crate) async fn conformance_dead_letters_that_are_dropped_stay_in_the_books<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Validate, (3..=4).map(|number| frame(number, 0))).await;
    give_up(&queues, Validate, "").await;
    give_up(&queues, Validate, "").await;
    let numbers = letters(&queues, of(Validate)).await;
    let last = DeadFilter { letters: vec![numbers[1]], ..DeadFilter::default() };
    assert_eq!(
        queues.drop_dead(last, Span::ALL).await.expect("dropped").done[0],
        Moved { letters: 1, rows: 4 }
    );
    let audit = queues.audit(true).await.expect("audited");
    let account = audit.balances[Validate as usize].account;
    assert_eq!((account.entered, account.waiting, account.dead, account.dropped), (7, 0, 3, 4));
    assert_balanced(&queues, Validate).await;

    publish(&queues, Validate, [frame(5, 0)]).await;
    give_up(&queues, Validate, "").await;
    let newest = letters(&queues, of(Validate)).await[1];
    assert!(newest > numbers[1], "the number of a letter never comes again");
}

pub(crate) async fn conformance_dead_letters_of_notify_keep_within_a_limit<E: Engine>() {
    let engine = E::start(Limits { queue_bytes_max: 3000, dead_bytes_max: 3000, ..Limits::default() }).await;
    let queues = engine.queues();
    for number in 1..=10 {
        publish(&queues, Notify, [sized(number, 0, 500)]).await;
        give_up(&queues, Notify, "").await;
        publish(&queues, Validate, [sized(number, 0, 200)]).await;
        give_up(&queues, Validate, "").await;
    }
    let depth = queues.depth(Notify).await.expect("depth");
    assert!(depth.dead_bytes <= 3000, "{depth:?}");
    let kept = queues.dead_letters(of(Notify), Span::ALL).await.expect("listed");
    let rows: Vec<u64> = kept.iter().map(|kept| kept.rows).collect();
    assert_eq!(rows, (11 - depth.dead..=10).collect::<Vec<_>>(), "the newest");
    let account = queues.audit(true).await.expect("audited").balances[Notify as usize].account;
    assert_eq!(account.dropped, (1..11 - depth.dead).sum::<u64>());
    assert_balanced(&queues, Notify).await;
    assert_eq!(queues.depth(Validate).await.expect("depth").dead, 10, "of no other queue");
}

pub(crate) async fn conformance_dead_letters_moved_with_smaller_limits_cost_no_others<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    for number in 1..=8 {
        publish(&queues, Notify, [sized(number, 0, 500)]).await;
        give_up(&queues, Notify, "").await;
    }
    publish(&queues, Notify, (11..=18).map(|number| sized(number, 0, 500))).await;
    let kept = letters(&queues, of(Notify)).await;

    let small = Limits { queue_bytes_max: 1000, dead_bytes_max: 1000, ..Limits::default() };
    let other = engine.another_process_with(small).await;
    let one = |letter| DeadFilter { letters: vec![letter], ..DeadFilter::default() };
    let batch = other.drop_dead(one(kept[7]), Span::ALL).await.expect("dropped");
    assert_eq!((batch.last, batch.done[Notify as usize].letters), (Some(kept[7]), 1));
    assert_eq!(letters(&queues, of(Notify)).await, kept[..7]);
    let batch = other.requeue(one(kept[6]), Span::ALL).await.expect("requeued");
    assert_eq!((batch.done[Notify as usize].letters, batch.no_room[Notify as usize].letters), (0, 1));
    assert_eq!(queues.depth(Notify).await.expect("depth").frames, 8, "no alert had to give way");
    assert_balanced(&queues, Notify).await;

    let waiting = receive(&queues, Notify, queues.holder(), 9).await;
    done(&queues, &waiting).await;
    let batch = other.requeue(of(Notify), Span::ALL).await.expect("requeued");
    assert_eq!((batch.done[Notify as usize].letters, batch.no_room[Notify as usize].letters), (2, 5));
    let depth = queues.depth(Notify).await.expect("depth");
    assert_eq!((depth.frames, depth.dead), (2, 5), "as it was told");
}

pub(crate) async fn conformance_dead_letter_that_no_queue_could_hold_stays<E: Engine>() {
    let engine = E::start(Limits::default()).await;
    let queues = engine.queues();
    publish(&queues, Notify, [sized(1, 0, 1500)]).await;
    give_up(&queues, Notify, "").await;
    let small = Limits { queue_bytes_max: 1000, dead_bytes_max: 1000, ..Limits::default() };
    let other = engine.another_process_with(small).await;
    let batch = other.requeue(of(Notify), Span::ALL).await.expect("requeued");
    assert_eq!((batch.done[Notify as usize].letters, batch.no_room[Notify as usize].letters), (0, 1));
    assert_eq!(letters(&queues, of(Notify)).await.len(), 1);
}
