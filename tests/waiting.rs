//! How threads wait: they stay awake for a moment where that pays, and sleep where not.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use common::server::Program;
use common::{PATIENCE, Running, config, eventually};
use reactor_server::program::cpu::time_of_process;
use reactor_server::{Config, Framing};

/// Sends so many messages one by one, and reads every reply.
fn talk(address: SocketAddr, messages: usize) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for number in 0..messages {
        let message = format!("message {number:08}");
        stream.write_all(message.as_bytes()).expect("sent");
        let mut reply = [0; 16];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(reply, message.as_bytes());
    }
}

#[test]
fn whoever_spins_answers_all_the_same_with_workers_too() {
    for workers in [0, 1, 4] {
        let busy_poll = Some(Duration::from_millis(1));
        let server = Running::echo(Config { busy_poll, workers, ..config(Framing::Raw) });
        thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| talk(server.address, 2000))))
        });
        server.wait_until("all messages", |stats| stats.sum(|reactor| &reactor.messages) == 16_000);
    }
}

#[test]
fn a_server_without_work_sleeps_whatever_it_was_told_to_do_before() {
    let server = Program::start_with(&["--busy-poll", "20ms"]);
    talk(server.address, 5000);
    let used = || time_of_process(server.id() as i32).expect("its processor time");
    // A few looks in vain, of that length each, and it has learnt.
    eventually("it sleeps", || {
        let before = used();
        thread::sleep(Duration::from_millis(200));
        used() - before < Duration::from_millis(10)
    });
}
