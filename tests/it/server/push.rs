//! A server sends to any of its connections at any time, and closes them.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::running::{Running, config};
use crate::support::streams::{noise, read_frame, read_to_end};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use reactor_server::{
    Config, ConnectionId, Counter, Ending, Framing, Handler, ReactorStats, Reason, Reply,
    SendError, Timeouts, To, WhenFull,
};

/// Passes on the names of its connections. It echoes lines, has the server wait at the line
/// `wait`, and answers `twice` with a reply and a push behind it.
struct Room {
    ids: Sender<ConnectionId>,
    /// Announces that it waits, and until when.
    gate: (Sender<()>, Receiver<()>),
}

impl Handler for Room {
    type Session = ConnectionId;

    fn opened(&self, id: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) -> ConnectionId {
        self.ids.send(id).expect("the test reads it");
        id
    }

    fn message(&self, id: &mut ConnectionId, message: &[u8], reply: &mut Reply<'_>) {
        if message == b"wait" {
            let (arrived, go_on) = &self.gate;
            arrived.send(()).expect("the test reads it");
            let _ = go_on.recv();
        }
        reply.send(&[message]);
        if message == b"twice" {
            let pushed = reply.handle().send(*id, &[b"pushed"], WhenFull::Close);
            assert_eq!(pushed, Ok(()));
        }
    }
}

/// A server with a [`Room`], and its connections.
struct Members {
    server: Running,
    ids: Receiver<ConnectionId>,
    waits: Receiver<()>,
    go_on: Sender<()>,
}

impl Members {
    fn start(config: Config) -> Members {
        let ((ids, named), (arrived, waits), (go_on, gate)) =
            (unbounded(), unbounded(), bounded(0));
        let server = Running::start(config, Room { ids, gate: (arrived, gate) });
        Members { server, ids: named, waits, go_on }
    }

    /// A connection, and its name.
    fn join(&self) -> (TcpStream, ConnectionId) {
        let stream = self.server.connect();
        (stream, self.ids.recv_timeout(PATIENCE).expect("it opens"))
    }

    /// Has the thread that answers this connection wait until `go_on`.
    fn hold(&self, stream: &mut TcpStream) {
        stream.write_all(b"wait\n").expect("sent");
        self.waits.recv_timeout(PATIENCE).expect("it waits");
    }

    fn sum(&self, counter: impl Fn(&ReactorStats) -> &Counter) -> u64 {
        self.server.handle.stats().sum(counter)
    }

    fn send<'a>(&self, to: impl Into<To<'a>>, message: &[u8]) {
        assert_eq!(self.server.handle.send(to, &[message], WhenFull::Close), Ok(()));
    }
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    stream.read_exact(&mut arrived).expect("it arrives");
    assert_eq!(String::from_utf8_lossy(&arrived), String::from_utf8_lossy(bytes));
}

#[test]
fn any_thread_can_send_to_any_connection_in_its_order() {
    for workers in [0, 2] {
        let room = Members::start(Config { workers, ..config(Framing::Len32) });
        let mut members: Vec<_> = (0..3).map(|_| room.join()).collect();
        std::thread::scope(|scope| {
            for sender in 0..2 {
                let (handle, members) = (room.server.handle.clone(), &members);
                scope.spawn(move || {
                    for (number, (_, id)) in (0..3000).zip(members.iter().cycle()) {
                        let parts = [format!("{sender} ").into_bytes(), number.to_string().into()];
                        let sent = handle.send(*id, &[&parts[0], &parts[1]], WhenFull::Close);
                        assert_eq!(sent, Ok(()));
                    }
                });
            }
        });
        for (place, (stream, _)) in members.iter_mut().enumerate() {
            let mut next = [place; 2];
            for _ in 0..2000 {
                let message = String::from_utf8(read_frame(stream)).expect("text");
                let (sender, number) = message.split_once(' ').expect("two numbers");
                let next = &mut next[sender.parse::<usize>().expect("a number")];
                assert_eq!(number, next.to_string());
                *next += 3;
            }
        }
        assert_eq!(room.sum(|reactor| &reactor.pushed), 6000);
    }
}

#[test]
fn many_and_all_connections_are_reached_on_every_reactor() {
    let room = Members::start(config(Framing::line()));
    let mut members: Vec<_> = (0..5).map(|_| room.join()).collect();
    let ids: Vec<_> = members.iter().map(|&(_, id)| id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 5);
    room.send(To::All, b"to all");
    room.send(To::AllBut(ids[1]), b"to all but 1");
    room.send(&ids[1..4], b"to 1 to 3");
    room.send(ids[4], b"to 4");
    let expected: [&[&str]; 5] = [
        &["to all", "to all but 1"],
        &["to all", "to 1 to 3"],
        &["to all", "to all but 1", "to 1 to 3"],
        &["to all", "to all but 1", "to 1 to 3"],
        &["to all", "to all but 1", "to 4"],
    ];
    for ((stream, _), lines) in members.iter_mut().zip(expected) {
        // What it sends is answered behind that, so there is nothing else.
        expect(stream, format!("{}\n", lines.join("\n")).as_bytes());
        stream.write_all(b"end\n").expect("sent");
        expect(stream, b"end\n");
    }
    assert_eq!(room.sum(|reactor| &reactor.pushed), 13);
}

#[test]
fn the_name_of_a_closed_connection_reaches_no_other_one() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (gone, id) = room.join();
    drop(gone);
    room.server.wait_until("the close", |stats| stats.closed() == 1);
    // It has the slot of the one that is gone.
    let (mut next, other) = room.join();
    assert_ne!(id, other);
    room.send(id, b"to one that is gone");
    assert_eq!(room.server.handle.close(id), Ok(()));
    room.send(other, b"to the next");
    expect(&mut next, b"to the next\n");
    assert_eq!(room.sum(|reactor| &reactor.pushes_late), 2);
}

#[test]
fn a_member_that_does_not_read_is_dropped_from_or_closed_and_the_others_miss_nothing() {
    for when_full in [WhenFull::Drop, WhenFull::Close] {
        let room = Members::start(Config { io_threads: 1, ..config(Framing::Len32) });
        let (mut reader, _) = room.join();
        let (mut stuck, _) = room.join();
        let message = noise(10_000);
        let mut sent = 0;
        let is_over = || match when_full {
            WhenFull::Drop => room.sum(|reactor| &reactor.pushes_dropped) > 100,
            WhenFull::Close => room.server.handle.stats().closed_for(Reason::PushFull) == 1,
        };
        while !is_over() {
            assert_eq!(room.server.handle.send(To::All, &[&message], when_full), Ok(()));
            assert!(read_frame(&mut reader) == message);
            sent += 1;
            assert!(sent < 10_000, "the kernel takes no 100 MB");
        }
        let (pushed, dropped) = (room.sum(|it| &it.pushed), room.sum(|it| &it.pushes_dropped));
        match when_full {
            WhenFull::Drop => {
                // What it gets, once it reads, is whole. So is what it is sent after that.
                assert_eq!(pushed + dropped, 2 * sent);
                for _ in 0..sent - dropped {
                    assert!(read_frame(&mut stuck) == message);
                }
                room.send(To::All, b"again");
                assert_eq!(read_frame(&mut stuck), b"again");
            }
            WhenFull::Close => {
                let error = stuck.read_to_end(&mut Vec::new()).expect_err("a reset");
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                room.send(To::All, b"again");
            }
        }
        assert_eq!(read_frame(&mut reader), b"again");
    }
}

#[test]
fn a_member_that_has_made_room_is_not_closed_although_the_reactor_does_not_know_yet() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let (mut slow, id) = room.join();
    let line = vec![b'x'; 10_000];
    while room.sum(|reactor| &reactor.pushes_dropped) == 0 {
        assert_ne!(room.server.handle.send(id, &[&line], WhenFull::Drop), Err(SendError::Ended));
    }
    room.hold(&mut busy);
    let kept = room.sum(|reactor| &reactor.pushed) as usize * (line.len() + 1);
    // The reactor holds no more than that, and the kernel all before it.
    let left = 64 * 1024;
    slow.read_exact(&mut vec![0; kept - left]).expect("the kernel has it");
    room.send(id, &line);
    room.go_on.send(()).expect("it waits");
    slow.read_exact(&mut vec![0; left + line.len() + 1]).expect("it is not closed");
    assert_eq!(room.server.handle.stats().closed_for(Reason::PushFull), 0);
}

#[test]
fn a_member_that_does_not_read_is_closed_at_the_write_deadline() {
    let timeouts =
        Timeouts { write: Some(Duration::from_millis(100)), ..Config::default().timeouts };
    let room = Members::start(Config { timeouts, ..config(Framing::Raw) });
    let (_stuck, id) = room.join();
    let message = noise(60_000);
    room.server.wait_until("the close", |stats| {
        // There may be no room.
        let sent = room.server.handle.send(id, &[&message], WhenFull::Drop);
        assert_ne!(sent, Err(SendError::Ended));
        stats.closed_for(Reason::WriteTimeout) == 1
    });
}

#[test]
fn a_handle_closes_a_connection_behind_what_was_sent_to_it() {
    for workers in [0, 2] {
        let room = Members::start(Config { workers, ..config(Framing::line()) });
        let (mut stream, id) = room.join();
        stream.write_all(b"said\nnot whole").expect("sent");
        expect(&mut stream, b"said\n");
        room.send(id, b"goodbye");
        assert_eq!(room.server.handle.close(id), Ok(()));
        room.send(id, b"too late");
        assert_eq!(read_to_end(&mut stream), b"goodbye\n", "{workers} workers");
        drop(stream);
        room.server.wait_until("the close", |stats| stats.closed_for(Reason::Close) == 1);
        assert_eq!(room.sum(|reactor| &reactor.pushes_late), 1);
    }
}

#[test]
fn what_is_pushed_follows_the_replies_that_were_made_before() {
    for workers in [0, 1] {
        let room = Members::start(Config { workers, ..config(Framing::line()) });
        let (mut stream, _) = room.join();
        for _ in 0..100 {
            stream.write_all(b"a\ntwice\nb\n").expect("sent");
            expect(&mut stream, b"a\ntwice\nb\npushed\n");
        }
    }
}

#[test]
fn what_is_pushed_while_a_worker_has_messages_follows_their_replies() {
    let room = Members::start(Config { workers: 1, ..config(Framing::line()) });
    let (mut stream, id) = room.join();
    room.hold(&mut stream);
    room.send(id, b"1");
    room.send(id, b"2");
    room.server.wait_until("the pushes", |stats| stats.sum(|reactor| &reactor.pushed) == 2);
    room.go_on.send(()).expect("it waits");
    expect(&mut stream, b"wait\n1\n2\n");
    // A close waits for the replies too, and is the end.
    room.hold(&mut stream);
    room.send(id, b"3");
    assert_eq!(room.server.handle.close(id), Ok(()));
    stream.write_all(b"unheard\n").expect("sent");
    room.go_on.send(()).expect("it waits");
    assert_eq!(read_to_end(&mut stream), b"wait\n3\n");
}

#[test]
fn a_connection_that_waits_for_a_job_is_sent_to_and_closed_without_one() {
    // As many wait as there may be jobs, and one more.
    let room = Members::start(Config { workers: 1, io_threads: 1, ..config(Framing::line()) });
    let mut busy: Vec<_> = (0..256).map(|_| room.join()).collect();
    room.hold(&mut busy[0].0);
    for (stream, _) in &mut busy[1..] {
        stream.write_all(b"a\n").expect("sent");
    }
    let (mut stream, id) = room.join();
    room.server.wait_until("all jobs are out", |stats| {
        stream.write_all(b"unheard\n").expect("sent");
        stats.sum(|reactor| &reactor.waits) == 1
    });
    room.send(id, b"pushed");
    expect(&mut stream, b"pushed\n");
    assert_eq!(room.server.handle.close(id), Ok(()));
    assert_eq!(read_to_end(&mut stream), b"");
    room.go_on.send(()).expect("it waits");
    for (stream, _) in &mut busy[1..] {
        expect(stream, b"a\n");
    }
}

#[test]
fn many_pushes_in_one_turn_are_one_write() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let (mut stream, id) = room.join();
    room.hold(&mut busy);
    (0..100).for_each(|_| room.send(id, b"one of many"));
    room.go_on.send(()).expect("it waits");
    let mut all = [0; 4096];
    let count = stream.read(&mut all).expect("they arrive");
    assert_eq!(all[..count], b"one of many\n".repeat(100));
}

#[test]
fn what_is_left_for_another_turn_is_sent_in_it() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let mut members: Vec<_> = (0..3).map(|_| room.join()).collect();
    room.hold(&mut busy);
    // One turn does 65,536 pushes.
    (0..25_000).for_each(|_| room.send(To::All, b"x"));
    room.go_on.send(()).expect("it waits");
    for (stream, _) in &mut members {
        expect(stream, &b"x\n".repeat(25_000));
    }
}

#[test]
fn a_burst_is_offered_to_the_kernel_before_a_member_is_full() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let (mut stream, id) = room.join();
    room.hold(&mut busy);
    // In one turn ten times what a connection may hold. The kernel has room for it.
    let line = vec![b'x'; 60_000];
    (0..10).for_each(|_| room.send(id, &line));
    room.go_on.send(()).expect("it waits");
    expect(&mut stream, &[&line[..], b"\n"].concat().repeat(10));
}

#[test]
fn a_sender_that_is_faster_than_the_reactor_is_told() {
    let room = Members::start(config(Framing::line()));
    let (mut stuck, _) = room.join();
    let (mut other, other_id) = room.join();
    // It is dealt to the same reactor as the first.
    let (gone, gone_id) = room.join();
    drop(gone);
    room.server.wait_until("the close", |stats| stats.closed() == 1);
    room.hold(&mut stuck);
    // That reactor reads no mail now.
    let message = noise(60_000);
    let send = |to: To<'_>| room.server.handle.send(to, &[&message], WhenFull::Close);
    let sent = (0..1000).take_while(|_| send(To::One(gone_id)) == Ok(())).count();
    assert_eq!(sent, 4 * 1024 * 1024 / (60_000 + 1 + 128));
    // To all of them, or to none.
    assert_eq!(send(To::All), Err(SendError::Full));
    assert_eq!(send(To::Many(&[other_id, gone_id])), Err(SendError::Full));
    room.send(other_id, b"to the other reactor");
    expect(&mut other, b"to the other reactor\n");
    room.go_on.send(()).expect("it waits");
    expect(&mut stuck, b"wait\n");
    room.server
        .wait_until("all pushes", |stats| stats.sum(|reactor| &reactor.pushes_late) == sent as u64);
    // There is room again, and nothing was left of what was refused.
    room.send(To::All, b"again");
    [stuck, other].iter_mut().for_each(|stream| expect(stream, b"again\n"));
}

#[test]
fn a_drain_sends_what_was_pushed_before_it_and_refuses_the_rest() {
    for workers in [0, 1] {
        let mut room = Members::start(Config { workers, ..config(Framing::line()) });
        let mut members: Vec<_> = (0..4).map(|_| room.join()).collect();
        room.hold(&mut members[0].0);
        let lines: Vec<_> = (0..1000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            room.send(To::All, line.trim().as_bytes());
        }
        room.server.handle.drain();
        let refused = room.server.handle.send(To::All, &[b"never"], WhenFull::Close);
        assert_eq!(refused, Err(SendError::Ended));
        assert_eq!(room.server.handle.close(members[1].1), Err(SendError::Ended));
        room.go_on.send(()).expect("it waits");
        for (place, (stream, _)) in members.iter_mut().enumerate() {
            let reply = if place == 0 { "wait\n" } else { "" };
            assert!(read_to_end(stream) == [reply, &lines.concat()].concat().as_bytes());
        }
        drop(members);
        assert_eq!(room.server.ending(), Ending::Drained);
    }
}
