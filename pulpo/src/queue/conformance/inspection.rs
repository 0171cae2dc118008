//! Inspecting and administering a queue.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, LONG, QUEUE, SECOND, delay, envelope, everything, ids, in_order, message,
    priority, queue, text,
};
use crate::message::MessageId;
use crate::queue::{Consumer, Counts, DequeueFilter, Filter, MessageState, NewMessage, Settlement};

/// Creates one message in each state, in the order of [`MessageState::LIVE`]. The consumer holds the reserved one.
fn one_in_each_state(harness: &dyn Harness) -> ([MessageId; 4], Box<dyn Consumer>) {
    let mut consumer = harness.consumer();
    let buried = harness.put(message("buried"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    let reserved = harness.put(message("reserved"));
    consumer.take();
    let delayed = harness.put(delay(message("delayed"), harness.in_seconds(600)));
    let ready = harness.put(priority(message("ready"), 7));
    ([ready, delayed, reserved, buried], consumer)
}

pub(super) fn peek_shows_a_message_in_each_state(harness: &dyn Harness) {
    let (ids, _consumer) = one_in_each_state(harness);
    for (id, state) in ids.iter().zip(MessageState::LIVE) {
        let stored = harness.peek(id);
        assert_eq!((&stored.id, stored.state), (id, state));
        assert_eq!((stored.queue.as_str(), stored.request_type.as_str()), (QUEUE, "type"));
        assert_eq!(stored.text, envelope("type", state.as_str()).into_bytes());
        assert_eq!(stored.attempts, u32::from(state == MessageState::Buried));
        let urgency = if state == MessageState::Ready { 7 } else { 65_536 };
        assert_eq!(stored.priority.get(), urgency);
        assert_eq!(
            stored.until.is_some(),
            matches!(state, MessageState::Delayed | MessageState::Reserved),
            "whether a {state} message has `until`"
        );
        if let Some(until) = stored.until {
            let left = (until - harness.now()).num_seconds();
            assert!((590..=602).contains(&left), "{state} for {left} s");
        }
    }
}

pub(super) fn peek_knows_only_ids_of_this_queue(harness: &dyn Harness) {
    let id = harness.put(message("here"));
    for other in ["0", "4000000000", "18446744073709551616", "-1", "", "x", "1 2", &format!("{id}x")] {
        let other = MessageId::from(other);
        assert!(harness.queue().peek(&other).expect("peek").is_none(), "{other:?}");
        assert_eq!(harness.queue().delete(&Filter::all().id(other.clone())).expect("delete"), 0, "{other:?}");
        assert_eq!(harness.queue().kick(&Filter::all().id(other.clone())).expect("kick"), 0, "{other:?}");
    }
}

pub(super) fn delete_spares_reserved_messages(harness: &dyn Harness) {
    let ([ready, delayed, reserved, buried], mut consumer) = one_in_each_state(harness);
    let delete = |id: &MessageId| harness.queue().delete(&everything().id(id.clone())).expect("delete");
    for id in [&ready, &delayed, &buried] {
        assert_eq!(delete(id), 1);
        assert!(harness.queue().peek(id).expect("peek").is_none());
        assert_eq!(delete(id), 0, "it is gone already");
    }
    assert_eq!(delete(&reserved), 0);
    assert_eq!(harness.queue().delete(&everything()).expect("delete"), 0);
    assert_eq!(harness.state(&reserved), MessageState::Reserved);
    consumer.nothing();
}

pub(super) fn delete_picks_what_the_filter_says(harness: &dyn Harness) {
    let ([ready, delayed, reserved, buried], _consumer) = one_in_each_state(harness);
    let elsewhere = harness.put(NewMessage::new("elsewhere", "other", envelope("other", "x")));
    let many: Vec<_> = (0..20).map(|_| harness.put(queue(message("many"), "many"))).collect();
    let delete = |filter: Filter| harness.queue().delete(&filter).expect("delete");
    assert_eq!(delete(everything().ids([])), 0, "an empty set of ids matches nothing");
    assert_eq!(delete(everything().id(ready.clone()).state(MessageState::Buried)), 0);
    assert_eq!(delete(everything().queue("nowhere")), 0);
    assert_eq!(delete(everything().queue("many").limit(3)), 3);
    if harness.queue().capabilities().total_order {
        assert!(harness.queue().peek(&many[17]).expect("peek").is_none(), "the newest ones");
    }
    assert_eq!(delete(everything().ids(many.clone()).state(MessageState::Ready)), 17);
    assert_eq!(delete(everything().ids(many)), 0);
    assert_eq!(delete(everything().state(MessageState::Delayed).state(MessageState::Reserved)), 1);
    assert_eq!(delete(everything().request_type("other")), 1);
    let left = ids(&harness.queue().list(&everything()).expect("list"));
    let expected = in_order(harness, vec![ready, reserved, buried]);
    assert_eq!(in_order(harness, left), expected, "{delayed} and {elsewhere} are deleted");
}

pub(super) fn list_picks_what_the_filter_says(harness: &dyn Harness) {
    let (own, _consumer) = one_in_each_state(harness);
    let elsewhere = harness.put(NewMessage::new("elsewhere", "other", envelope("other", "x")));
    let list = |filter: Filter| in_order(harness, ids(&harness.queue().list(&filter).expect("list")));
    let of = |ids: &[&MessageId]| in_order(harness, ids.iter().map(|id| (*id).clone()).collect());
    let [ready, delayed, reserved, buried] = own;
    let order = [&elsewhere, &ready, &delayed, &reserved, &buried];
    assert_eq!(list(everything()), of(&order), "all, the newest first");
    assert_eq!(list(everything().queue(QUEUE)), of(&order[1..]));
    assert!(list(everything().queue("nowhere")).is_empty());
    assert_eq!(list(everything().request_type("other")), std::slice::from_ref(&elsewhere));
    assert_eq!(list(everything().state(MessageState::Buried)), std::slice::from_ref(&buried));
    assert_eq!(list(everything().state(MessageState::Ready)), of(&[&elsewhere, &ready]));
    assert_eq!(list(everything().state(MessageState::Buried).state(MessageState::Delayed)), of(&[&delayed, &buried]));
    assert_eq!(list(everything().state(MessageState::Ready).queue(QUEUE)), std::slice::from_ref(&ready));
    assert_eq!(list(everything().id(delayed.clone())), std::slice::from_ref(&delayed));
    assert_eq!(list(everything().id(delayed.clone()).id(reserved.clone())), of(&[&delayed, &reserved]));
    assert!(list(everything().id(delayed.clone()).state(MessageState::Ready)).is_empty());
    assert!(list(everything().ids([])).is_empty(), "an empty set of ids matches nothing");
    assert_eq!(list(everything().ids(order.map(Clone::clone))), of(&order));
}

pub(super) fn a_list_continues_after_its_last_message(harness: &dyn Harness) {
    let mut all: Vec<_> = (0..12).map(|_| harness.put(message("x"))).collect();
    all.reverse();
    let mut seen = Vec::new();
    let mut filter = everything().limit(5);
    loop {
        let page = ids(&harness.queue().list(&filter).expect("list"));
        let Some(last) = page.last().cloned() else { break };
        // Messages that arrive in between are newer, so they are on no later page.
        harness.put(message("later"));
        filter = filter.after(last);
        seen.push(page);
    }
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 2]);
    assert_eq!(in_order(harness, seen.concat()), in_order(harness, all.clone()));
    assert!(harness.queue().list(&everything().limit(0)).expect("list").is_empty());
    if !harness.queue().capabilities().total_order {
        return;
    }
    // A page with an end.
    let part = everything().after(all[2].clone()).down_to(all[5].clone());
    assert_eq!(ids(&harness.queue().list(&part).expect("list")), all[3..=5]);
}

pub(super) fn list_picks_by_age_and_reason(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    for reason in ["connection REFUSED by mail.example", "no recipient"] {
        harness.put(message(reason));
        let delivery = consumer.take();
        consumer.settle(&delivery.lease, &mut Settlement::bury(reason, true)).expect("bury");
    }
    harness.pass(Duration::from_secs(3));
    let young = harness.put(message("young"));
    let list = |filter: Filter| harness.queue().list(&filter).expect("list");
    let middle = harness.in_seconds(-2);
    assert_eq!(ids(&list(everything().newer_than(middle))), [young]);
    let known = u64::from(harness.queue().capabilities().burial_reasons);
    assert_eq!(list(everything().published_before(middle)).len(), 2);
    assert_eq!(list(everything().published_before(middle).state(MessageState::Ready)).len(), 0);
    assert_eq!(list(everything().published_after(middle)).len(), 1);
    assert!(list(everything().published_before(middle).published_after(middle)).is_empty());
    assert!(list(everything().older_than(middle).newer_than(middle)).is_empty());
    for text in ["connection refused", "Refused by", "no recipient"] {
        assert_eq!(list(everything().reason(text)).len() as u64, known, "{text}");
    }
    assert!(list(everything().reason("%")).is_empty(), "it is plain text, not a pattern");
    assert!(list(everything().reason("no recipient").newer_than(middle)).is_empty());
    assert_eq!(harness.queue().kick(&everything().reason("refused")).expect("kick"), known);
    assert_eq!(harness.queue().kick(&everything().published_after(middle)).expect("kick"), 0);
    assert_eq!(harness.queue().kick(&everything().published_before(middle)).expect("kick"), 2 - known);
}

pub(super) fn an_age_counts_from_the_last_change_of_state(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    let published = harness.now();
    // Each is published first, and reaches its state later.
    let kept = harness.put(queue(message("kept"), "elsewhere"));
    for text in ["buried", "kicked", "put back", "put off"] {
        harness.put(message(text));
    }
    let delayed = harness.put(delay(message("delayed"), harness.in_seconds(600)));
    let due = harness.put(queue(delay(message("due"), harness.in_seconds(4)), "elsewhere"));
    harness.pass(Duration::from_secs(8));
    let settled = harness.now();
    let mut came: Vec<_> = [(); 4].map(|()| consumer.take()).into_iter().collect();
    came.sort_by_key(text);
    let came: [_; 4] = came.try_into().expect("four came");
    let [buried, kicked, put_back, put_off] = came.map(|delivery| {
        let id = delivery.lease.id.clone();
        match text(&delivery).as_str() {
            "put off" => consumer.settle(&delivery.lease, &mut Settlement::rollback(LONG, "later", true)),
            "put back" => consumer.settle(&delivery.lease, &mut Settlement::rollback(SECOND, "later", true)),
            reason => consumer.settle(&delivery.lease, &mut Settlement::bury(reason, true)),
        }
        .expect("settled");
        id
    });
    assert_eq!(harness.queue().kick(&everything().id(kicked.clone())).expect("kick"), 1);
    harness.pass(Duration::from_secs(4));
    let list = |filter: Filter| ids(&harness.queue().list(&filter).expect("list"));
    let all = harness.queue().list(&everything()).expect("list");
    let since = |id: &MessageId| all.iter().find(|message| message.id == *id).expect("it is there").since;
    let burials = harness.queue().capabilities().burial_reasons;
    let seconds = chrono::TimeDelta::seconds;
    for (id, at, must) in [
        (&kept, published, true),
        (&delayed, published, true),
        (&due, published + seconds(4), true),
        (&buried, settled, burials),
        (&put_off, settled, true),
        (&put_back, settled + seconds(1), false),
        (&kicked, settled, false),
    ] {
        let told = since(id);
        assert!(told.is_some() || !must, "the queue does not know since when message {id} has been in its state");
        // Some servers use whole seconds, and each step takes time.
        let off = told.map(|since| (since - at).num_milliseconds());
        assert!(off.is_none_or(|off| (-2000..2500).contains(&off)), "message {id}: since {told:?}, expected {at}");
    }
    // An unknown time matches neither condition.
    let time = settled - seconds(3);
    let of = |fits: &dyn Fn(DateTime<Utc>) -> bool| {
        let fit = all.iter().filter(|message| message.since.is_some_and(fits));
        fit.map(|message| message.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(everything().older_than(time)), of(&|since| since < time));
    assert_eq!(list(everything().newer_than(time)), of(&|since| since >= time));
    assert!(list(everything().published_after(time)).is_empty(), "all were published before");
    // A message that was buried a moment ago is not old, whenever it was published.
    assert_eq!(harness.queue().delete(&everything().older_than(time).state(MessageState::Buried)).expect("delete"), 0);
    let young = everything().newer_than(time).state(MessageState::Buried);
    assert_eq!(harness.queue().kick(&young).expect("kick"), u64::from(since(&buried).is_some()));
}

pub(super) fn stats_count_by_state(harness: &dyn Harness) {
    let stats = || harness.queue().stats().expect("stats");
    assert_eq!(stats().counts, [], "an empty queue has no counts");
    let (_, _consumer) = one_in_each_state(harness);
    let before = harness.now();
    harness.put(queue(message("elsewhere"), "elsewhere"));
    harness.put(queue(message("elsewhere"), "elsewhere"));
    let request_type = if harness.queue().capabilities().stats_by_type { "type" } else { "" };
    let mut counts = stats().counts;
    counts.sort_by(|a, b| a.queue.cmp(&b.queue));
    for counts in &mut counts {
        let oldest = counts.oldest_ready.take().expect("one is ready");
        let off = (oldest - before).num_milliseconds().abs();
        assert!(off < 5000, "ready since {oldest}, expected {before}");
    }
    let mut expected = [Counts::new(QUEUE, request_type), Counts::new("elsewhere", request_type)];
    expected[0].ready = 1;
    (expected[0].delayed, expected[0].reserved, expected[0].buried) = (1, 1, 1);
    expected[1].ready = 2;
    assert_eq!(counts, expected);
}

pub(super) fn stats_of_some_queues_leave_out_the_others(harness: &dyn Harness) {
    let (_, _consumer) = one_in_each_state(harness);
    harness.put(queue(message("elsewhere"), "elsewhere"));
    let stats = |queues: &[&str]| {
        let queues: Vec<_> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let mut stats = harness.queue().stats_of(&queues).expect("stats");
        stats.counts.iter_mut().for_each(|counts| counts.oldest_ready = None);
        stats.counts
    };
    let mut all = harness.queue().stats().expect("stats").counts;
    all.iter_mut().for_each(|counts| counts.oldest_ready = None);
    all.sort_by(|a, b| a.queue.cmp(&b.queue));
    let (elsewhere, here): (Vec<_>, Vec<_>) = all.into_iter().partition(|counts| counts.queue == "elsewhere");
    assert_eq!((elsewhere.len(), here.len()), (1, 1));
    assert_eq!(stats(&["elsewhere"]), elsewhere);
    assert_eq!(stats(&[QUEUE, QUEUE, "nowhere"]), here);
    assert_eq!(stats(&["nowhere"]), []);
    assert_eq!(stats(&[]), []);
}

pub(super) fn totals_count_published_and_finished_messages(harness: &dyn Harness) {
    let totals = || {
        let totals = harness.queue().stats().expect("stats").totals;
        totals.iter().fold((0, 0), |all, one| (all.0 + one.published, all.1 + one.finished))
    };
    assert_eq!(totals(), (0, 0));
    // While a consumer watches the queue, it does not disappear between two messages.
    let mut consumer = harness.consumer();
    consumer.nothing();
    let all: Vec<_> = (0..5).map(|_| harness.put(message("x"))).collect();
    assert_eq!(totals(), (5, 0));
    consumer.work();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::Expire).expect("expire");
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("rollback");
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_eq!(totals(), (5, 2));
    harness.queue().delete(&everything().ids(all)).expect("delete");
    assert_eq!(totals(), (5, 5));
    harness.put(message("y"));
    assert_eq!(totals(), (6, 5));
}

pub(super) fn kick_picks_what_the_filter_says(harness: &dyn Harness) {
    let mut consumer = harness.consumer_of(&[QUEUE, "elsewhere"]);
    for request_type in ["a", "a", "b"] {
        harness.put(NewMessage::new(QUEUE, request_type, envelope(request_type, "x")));
    }
    for request_type in ["a", "a", "b", "b", "b"] {
        harness.put(NewMessage::new("elsewhere", request_type, envelope(request_type, "x")));
    }
    for _ in 0..8 {
        let delivery = consumer.take();
        consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    }
    let kick = |filter: Filter| harness.queue().kick(&filter).expect("kick");
    assert_eq!(kick(everything().state(MessageState::Ready)), 0, "only buried messages can be kicked");
    assert_eq!(kick(everything().queue("nowhere")), 0);
    assert_eq!(kick(everything().queue(QUEUE).request_type("b")), 1);
    assert_eq!(kick(everything().queue(QUEUE)), 2);
    assert_eq!(kick(everything().request_type("a")), 2);
    assert_eq!(kick(everything().limit(1)), 1);
    assert_eq!(kick(everything().state(MessageState::Buried)), 2);
    assert_eq!(kick(everything()), 0);
    for _ in 0..8 {
        consumer.work();
    }
    consumer.nothing();
}

pub(super) fn kick_leaves_alone_what_is_not_buried(harness: &dyn Harness) {
    let ([ready, delayed, reserved, buried], _consumer) = one_in_each_state(harness);
    for id in [&ready, &delayed, &reserved] {
        assert_eq!(harness.queue().kick(&everything().id(id.clone())).expect("kick"), 0);
    }
    assert_eq!(harness.queue().kick(&everything()).expect("kick"), 1);
    assert_eq!(harness.queue().kick(&everything()).expect("kick"), 0);
    let states = [ready, delayed, reserved, buried].map(|id| harness.state(&id));
    assert_eq!(states, [MessageState::Ready, MessageState::Delayed, MessageState::Reserved, MessageState::Ready]);
    let mut other = harness.consumer();
    assert_eq!([other.work(), other.work()], ["ready", "buried"]);
    assert!(other.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
}

pub(super) fn a_list_says_how_many_it_does_not_show(harness: &dyn Harness) {
    const MANY: usize = 1500;
    let oldest = harness.put(message("oldest"));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    harness.queue().enqueue((0..MANY).map(|_| message("many")).collect()).expect("enqueue");
    let survey = |filter: &Filter| harness.queue().survey(filter, false).expect("survey");
    let (buried, all) = (survey(&everything().state(MessageState::Buried)), survey(&everything()));
    assert_eq!(buried.messages.len() as u64 + buried.unseen, 1);
    assert_eq!(all.messages.len() as u64 + all.unseen, MANY as u64 + 1);
    if !harness.queue().capabilities().complete_lists {
        return;
    }
    assert_eq!((ids(&buried.messages), buried.unseen), (vec![oldest], 0));
    assert_eq!(all.unseen, 0);
    assert_eq!(harness.queue().list(&everything()).expect("list").len(), MANY + 1);
    assert_eq!(harness.queue().kick(&everything()).expect("kick"), 1);
    assert_eq!(harness.queue().delete(&everything()).expect("delete"), MANY as u64 + 1);
}
