//! A server sends to any of its connections at any time, and closes them.

use std::collections::HashSet;
use std::io::{Read, Write};

use crate::support::PATIENCE;
use crate::support::members::{LONG, Members};
use crate::support::running::config;
use crate::support::streams::{expect, read_frame, read_to_end, round_trip};
use reactor_server::{Config, Ending, Framing, Reason, SendError, To, WhenFull};

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
fn the_name_of_a_connection_of_another_server_reaches_none_here() {
    let (here, there) =
        (Members::start(config(Framing::line())), Members::start(config(Framing::line())));
    let ((mut stream, id), (_other, foreign)) = (here.join(), there.join());
    assert_ne!(id, foreign);
    here.send(foreign, b"to one that is elsewhere");
    here.send(&[foreign], b"to one that is elsewhere");
    assert_eq!(here.server.handle.close(foreign), Ok(()));
    here.send(To::AllBut(foreign), b"to all");
    here.send(&vec![foreign, id], b"to one");
    expect(&mut stream, "to all\nto one\n");
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
fn what_a_message_pushes_to_its_own_connection_arrives_although_the_peer_has_finished() {
    for workers in [0, 1] {
        let room = Members::start(Config { workers, ..config(Framing::line()) });
        for _ in 0..100 {
            let (stream, _) = room.join();
            let answer = round_trip(stream, b"a\ntwice\nb\n".to_vec());
            assert_eq!(String::from_utf8_lossy(&answer), "a\ntwice\nb\npushed\n");
        }
        assert_eq!(room.sum(|reactor| &reactor.pushes_late), 0);
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
fn a_close_waits_for_all_messages_that_a_worker_has_however_long_the_replies_are() {
    let room = Members::start(Config { workers: 1, ..config(Framing::line()) });
    let (mut stream, id) = room.join();
    let lines = format!("wait\n{}", "long\n".repeat(20));
    stream.write_all(lines.as_bytes()).expect("sent");
    room.waits.recv_timeout(PATIENCE).expect("it waits");
    assert_eq!(room.server.handle.close(id), Ok(()));
    room.go_on.send(()).expect("it waits");
    assert_eq!(read_to_end(&mut stream).len(), "wait\n".len() + 20 * (LONG + 1));
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
    // Several writes could arrive as one by chance, but not each time.
    for _ in 0..50 {
        room.hold(&mut busy);
        (0..100).for_each(|_| room.send(id, b"one of many"));
        let mut all = [0; 4096];
        let count = std::thread::scope(|scope| {
            let reader = scope.spawn(|| stream.read(&mut all).expect("they arrive"));
            room.go_on.send(()).expect("it waits");
            reader.join().expect("a count")
        });
        assert_eq!(all[..count], b"one of many\n".repeat(100));
    }
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
