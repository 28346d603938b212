//! A thread per connection, and nothing but the standard library.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use peers::{Arguments, BUFFER_EACH};

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_EACH];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn main() -> io::Result<()> {
    let listener = Arguments::from_command_line().listen()?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::Builder::new().spawn(move || echo(stream))?;
    }
}
