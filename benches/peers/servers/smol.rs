//! smol: a task per connection, on one executor that all threads run.

use std::future::pending;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;

use peers::{Arguments, BUFFER_EACH};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Executor};

static EXECUTOR: Executor<'static> = Executor::new();

async fn echo(mut stream: Async<TcpStream>) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_EACH];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let listener = Async::<TcpListener>::new(arguments.listen()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        EXECUTOR.spawn(echo(stream)).detach();
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    for _ in 1..arguments.threads {
        thread::Builder::new().spawn(|| smol::block_on(EXECUTOR.run(pending::<()>())))?;
    }
    smol::block_on(EXECUTOR.run(serve(arguments)))
}
