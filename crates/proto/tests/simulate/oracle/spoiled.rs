//! Short histories in which one thing is wrong, and the oracle that must see it.

use roomful_proto::Moment;
use roomful_proto::cluster::{Ask, Presence};

use super::check;
use crate::history::{Answer, Chosen, Crowd, End, Entry, History, Rooms, Said, Who};
use crate::rules::Rules;

const ONE: Who = Who::FIRST;
const TWO: Who = Who(Who::FIRST.0 + 1);
const THREE: Who = Who(Who::FIRST.0 + 2);

/// The oracle that sees something wrong in a history of heartbeats, which has times where they matter.
fn seen(entries: Vec<(u64, Entry)>) -> Option<String> {
    let entries = entries.into_iter().map(|(ms, entry)| (Moment::from_millis(ms), entry));
    let history = History { entries: entries.collect() };
    let wrong = check(&Rules::sound(Presence::Heartbeats), &history).err()?;
    wrong.why.split(':').next().map(str::to_owned)
}

fn expect(oracle: &str, entries: Vec<(u64, Entry)>) {
    assert_eq!(seen(entries).as_deref(), Some(oracle));
}

fn at_once(entries: impl IntoIterator<Item = Entry>) -> Vec<(u64, Entry)> {
    entries.into_iter().map(|entry| (0, entry)).collect()
}

fn moved(client: u32, node: Who, rooms: u8) -> Entry {
    Entry::Moved { client, node, rooms: Rooms(rooms) }
}

fn sent(event: u32) -> Entry {
    let to = Chosen { rooms: Rooms(1), except: Rooms(2) };
    Entry::Sent { event, by: ONE, to }
}

const fn got(event: u32) -> Entry {
    Entry::Got { event, client: 1 }
}

fn heard(from: Who, said: Said) -> Entry {
    Entry::Heard { node: ONE, from, said }
}

const fn joined(other: Who) -> Entry {
    Entry::Joined { node: ONE, other }
}

/// One has heard Two, and asks it for 20 seconds.
fn asking(ask: Ask) -> Vec<(u64, Entry)> {
    let known = Crowd::from_iter([TWO]);
    let until = Moment::from_millis(20_000);
    at_once([
        heard(TWO, Said::Other),
        joined(TWO),
        Entry::Asked { request: 7, by: ONE, ask, known, said: Some(1), until },
    ])
}

fn answer(from: Who, answer: Answer) -> Entry {
    heard(from, Said::Answer(7, answer))
}

const fn passed(answer: Answer) -> Entry {
    Entry::Passed { node: ONE, request: 7, answer }
}

const fn ended(how: End, nodes_missing: usize) -> Entry {
    Entry::Ended { request: 7, how, nodes_missing, clients_missing: 0 }
}

const DONE: Entry = Entry::Done { node: ONE, request: 7 };

fn and(mut entries: Vec<(u64, Entry)>, more: impl IntoIterator<Item = Entry>) -> Vec<(u64, Entry)> {
    entries.extend(at_once(more));
    entries
}

#[test]
fn nothing_is_seen_where_nothing_is_wrong() {
    let events = [moved(1, TWO, 1), sent(1), got(1), moved(1, TWO, 3), sent(2)];
    assert_eq!(seen(at_once(events)), None);
    let node = Answer::Node;
    let all = [answer(TWO, node), passed(node), DONE, ended(End::Done, 0), answer(TWO, node)];
    assert_eq!(seen(and(asking(Ask::Nodes), all)), None);
}

#[test]
fn what_clients_get() {
    let begin = || [moved(1, TWO, 1), sent(1), sent(2)].into_iter();
    expect("twice", at_once(begin().chain([got(1), got(2), got(1)])));
    expect("order", at_once(begin().chain([got(2), got(1)])));
    expect("outsider", at_once(begin().chain([got(3)])));
    expect("outsider", at_once([moved(1, TWO, 3), sent(1), got(1)]));
    expect("outsider", at_once([moved(1, TWO, 1), moved(1, TWO, 0), sent(1), got(1)]));
    expect("outsider", at_once(begin().chain([Entry::Leaves(TWO), got(1)])));
    let mut missed = at_once(begin().chain([got(1)]));
    missed.push((1_000, Entry::Healed));
    expect("missed", missed);
}

#[test]
fn how_requests_end() {
    let (nodes, node) = (|| asking(Ask::Nodes), Answer::Node);
    expect("ends", nodes());
    expect("ends", and(nodes(), [DONE]));
    expect("ends", and(nodes(), [ended(End::Time, 1)]));
    expect("ends", and(nodes(), [answer(TWO, node), passed(node), DONE, ended(End::Done, 1)]));
    let mut late = and(nodes(), [answer(TWO, node), passed(node)]);
    late.push((1, DONE));
    expect("ends", late);
    let mut silent = nodes();
    silent.insert(0, (0, Entry::Connected(ONE)));
    silent.push((20_000, ended(End::Time, 1)));
    expect("waits", silent);
    let clients = || and(asking(Ask::Clients), [answer(TWO, Answer::Count(1))]);
    expect("ends", and(clients(), [passed(Answer::Count(1)), DONE]));
}

#[test]
fn who_answers() {
    let (nodes, node) = (|| asking(Ask::Nodes), Answer::Node);
    expect("answers", and(nodes(), [answer(TWO, node), DONE]));
    expect("answers", and(nodes(), [answer(TWO, node), passed(node), DONE, passed(node)]));
    expect("answers", and(nodes(), [answer(THREE, node), passed(node)]));
    expect("answers", and(nodes(), [answer(TWO, Answer::Ack), passed(Answer::Ack)]));
    expect("answers", and(asking(Ask::Clients), [answer(TWO, node), passed(node)]));
    let count = Answer::Count(usize::MAX);
    expect("answers", and(asking(Ask::Clients), [answer(THREE, count), passed(count)]));
    expect("answers", and(asking(Ask::Clients), [answer(TWO, Answer::Ack), passed(Answer::Ack)]));
}

#[test]
fn who_is_known() {
    let looked = |others: &[Who], deadline| Entry::Looked {
        node: ONE,
        others: others.iter().copied().collect(),
        deadline: Some(Moment::from_millis(deadline)),
    };
    let far = 1_000_000;
    let known = || at_once([heard(TWO, Said::Other), joined(TWO)]);
    expect("ghosts", at_once([joined(TWO)]));
    expect("ghosts", at_once([heard(Who::EMITTER, Said::Other), joined(Who::EMITTER)]));
    let mut silent = known();
    silent.push((16_000, looked(&[TWO], far)));
    expect("ghosts", silent);
    let goodbye = || [Entry::Leaves(TWO), heard(TWO, Said::Goodbye)];
    expect("ghosts", and(and(known(), goodbye()), [looked(&[TWO], far)]));
    let left = [Entry::Left { node: ONE, other: TWO }, heard(TWO, Said::Other), joined(TWO)];
    expect("ghosts", and(and(known(), goodbye()), left));
    expect("known", and(known(), [looked(&[], far)]));
    expect("known", and(known(), [Entry::Left { node: ONE, other: TWO }]));
    let here = [ONE, TWO].into_iter().flat_map(|who| [Entry::Started(who), Entry::Connected(who)]);
    let mut unknown = at_once(here);
    unknown.push((20_000, looked(&[], far)));
    expect("known", unknown);
    expect("deadline", at_once([looked(&[], 0)]));
    let rest = Entry::Rest { node: ONE, requests: 0, replies: 1, signals: 0 };
    expect("rest", at_once([rest]));
}
