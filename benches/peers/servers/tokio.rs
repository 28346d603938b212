//! tokio, as in its documentation: a task per connection.

use std::io;

use peers::{Arguments, BUFFER_EACH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Read into without being cleared before.
    let mut buffer = Vec::with_capacity(BUFFER_EACH);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let listener = arguments.listen()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_io().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_io().build(),
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    runtime(arguments.threads)?.block_on(async move {
        // As a task of its own: the future that `block_on` gets does not run on a worker thread.
        tokio::spawn(serve(arguments)).await.map_err(io::Error::other)?
    })
}
