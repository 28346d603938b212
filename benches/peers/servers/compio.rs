//! compio on io_uring: each thread has a ring, a listener and its connections.

use std::io;
use std::thread;

use compio::buf::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use peers::{Arguments, BUFFER_EACH};

/// The ring owns the buffer while it reads or writes, and gives it back with the result.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_EACH);
    loop {
        let BufResult(result, filled) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let BufResult(result, written) = stream.write_all(filled).await;
        result?;
        buffer = written;
        buffer.clear();
    }
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let listener = TcpListener::from_std(arguments.listen_together()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(echo(stream)).detach();
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    Runtime::new()?.block_on(serve(arguments))
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    for _ in 1..arguments.threads {
        thread::Builder::new().spawn(move || run(arguments))?;
    }
    run(arguments)
}
