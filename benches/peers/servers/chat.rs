//! A chat room on tokio of the usual kind: a task per member, and a broadcast channel. Its
//! words are those of the example `chat`.

use std::io;
use std::sync::Arc;

use peers::Arguments;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::broadcast::Sender;

/// How many lines the room keeps for members that are slow. One that misses a line leaves.
const LINES: usize = 1024;

/// What a member said, and its number.
type Said = (u64, Arc<str>);

async fn member(stream: TcpStream, number: u64, room: Sender<Said>) {
    let say = |text: String| {
        // Without any other member nobody hears it.
        let _ = room.send((number, text.into()));
    };
    let _ = talk(stream, number, &room, &say).await;
    say(format!("guest{number} left\n"));
}

async fn talk(
    mut stream: TcpStream,
    number: u64,
    room: &Sender<Said>,
    say: &impl Fn(String),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let (mut lines, mut others) = (BufReader::new(reader).lines(), room.subscribe());
    say(format!("guest{number} joined\n"));
    writer.write_all(format!("welcome, guest{number}; /quit leaves\n").as_bytes()).await?;
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref() {
                None => return Ok(()),
                Some("/quit") => return writer.write_all(b"bye\n").await,
                Some(line) => say(format!("guest{number}: {line}\n")),
            },
            said = others.recv() => match said {
                Ok((from, _)) if from == number => {}
                Ok((_, text)) => writer.write_all(text.as_bytes()).await?,
                Err(_) => return Ok(()),
            },
        }
    }
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let listener = arguments.listen()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    println!("listening on {}", listener.local_addr()?);
    let room = Sender::new(LINES);
    for number in 1.. {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(member(stream, number, room.clone()));
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(arguments.threads).enable_io().build()?;
    runtime.block_on(async move {
        // As a task of its own: the future that `block_on` gets does not run on a worker thread.
        tokio::spawn(serve(arguments)).await.map_err(io::Error::other)?
    })
}
