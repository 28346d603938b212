//! may: a stackful coroutine per connection.

use std::io::{self, Read, Write};

use may::net::{TcpListener, TcpStream};
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
    let arguments = Arguments::from_command_line();
    may::config().set_workers(arguments.threads);
    let listener = TcpListener::bind(arguments.address)?;
    for stream in listener.incoming() {
        let stream = stream?;
        may::go!(move || echo(stream));
    }
    Ok(())
}
