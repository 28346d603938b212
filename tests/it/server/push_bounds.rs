//! What is pushed stays within bounds, whether members read it or not.

use std::io::Read;
use std::time::Duration;

use crate::support::members::Members;
use crate::support::running::config;
use crate::support::streams::{expect, noise, read_frame};
use reactor_server::{Config, Framing, Reason, SendError, Timeouts, To, WhenFull};

const MIB: usize = 1024 * 1024;

#[test]
fn a_member_that_does_not_read_is_dropped_from_or_closed_and_the_others_miss_nothing() {
    for when_full in [WhenFull::Drop, WhenFull::Close] {
        let room = Members::start(Config { io_threads: 1, ..config(Framing::Len32) });
        let (mut reader, _) = room.join();
        let (mut stuck, _) = room.join();
        let message = noise(10_000);
        let mut sent = 0;
        let closed = || room.server.handle.stats().closed_for(Reason::PushFull);
        let is_over = || room.sum(|reactor| &reactor.pushes_dropped) > 100 || closed() == 1;
        while !is_over() {
            assert_eq!(room.server.handle.send(To::All, &[&message], when_full), Ok(()));
            assert!(read_frame(&mut reader) == message);
            sent += 1;
            assert!(sent < 10_000, "the kernel takes no 100 MB");
        }
        let (pushed, dropped) = (room.sum(|it| &it.pushed), room.sum(|it| &it.pushes_dropped));
        assert_eq!(closed(), u64::from(when_full == WhenFull::Close));
        match closed() {
            0 => {
                // What it gets, once it reads, is whole. So is what it is sent after that.
                assert_eq!(pushed + dropped, 2 * sent);
                for _ in 0..sent - dropped {
                    assert!(read_frame(&mut stuck) == message);
                }
                room.send(To::All, b"again");
                assert_eq!(read_frame(&mut stuck), b"again");
            }
            _ => {
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
fn what_is_left_for_another_turn_is_sent_in_it() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let mut members: Vec<_> = (0..3).map(|_| room.join()).collect();
    room.hold(&mut busy);
    // One turn does 65,000 short pushes.
    (0..25_000).for_each(|_| room.send(To::All, b"x"));
    room.go_on.send(()).expect("it waits");
    for (stream, _) in &mut members {
        expect(stream, b"x\n".repeat(25_000));
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
    expect(&mut stream, [&line[..], b"\n"].concat().repeat(10));
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
    assert_eq!(sent, 4 * MIB / (60_000 + 1 + 128));
    assert_eq!(room.server.handle.close(gone_id), Ok(()), "a close may end a flood");
    // To all of them, or to none.
    assert_eq!(send(To::All), Err(SendError::Full));
    assert_eq!(send(To::Many(&[other_id, gone_id])), Err(SendError::Full));
    room.send(other_id, b"to the other reactor");
    expect(&mut other, b"to the other reactor\n");
    room.go_on.send(()).expect("it waits");
    expect(&mut stuck, b"wait\n");
    room.server.wait_until("all pushes", |stats| {
        stats.sum(|reactor| &reactor.pushes_late) == sent as u64 + 1
    });
    // There is room again, and nothing was left of what was refused.
    room.send(To::All, b"again");
    [stuck, other].iter_mut().for_each(|stream| expect(stream, b"again\n"));
}

#[test]
fn a_message_to_all_counts_for_each_of_them_so_that_other_mail_does_not_wait() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let members: Vec<_> = (0..99).map(|_| room.join()).collect();
    room.hold(&mut busy);
    let send = || room.server.handle.send(To::All, &[b"x"], WhenFull::Drop);
    let sent = (0..100_000).take_while(|_| send() == Ok(())).count();
    assert_eq!(sent, 4 * MIB / (2 + 128 + 100));
    room.go_on.send(()).expect("it waits");
    for (mut stream, _) in members {
        expect(&mut stream, "x\n".repeat(sent));
    }
}

#[test]
fn a_message_that_is_longer_than_all_that_may_be_on_their_way_goes_alone() {
    let room = Members::start(Config { io_threads: 1, ..config(Framing::line()) });
    let (mut busy, _) = room.join();
    let (mut stream, id) = room.join();
    let message = vec![b'x'; 10 * MIB];
    let send = |message: &[u8]| room.server.handle.send(id, &[message], WhenFull::Close);
    room.hold(&mut busy);
    assert_eq!(send(b"first"), Ok(()));
    assert_eq!(send(&message), Err(SendError::Full));
    room.go_on.send(()).expect("it waits");
    expect(&mut stream, "first\n");
    room.hold(&mut busy);
    assert_eq!(send(&message), Ok(()));
    assert_eq!(send(b"another"), Err(SendError::Full));
    room.go_on.send(()).expect("it waits");
    expect(&mut stream, [&message[..], b"\n"].concat());
}
