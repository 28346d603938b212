//! A terminal that a program writes to.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs a command whose standard output is a terminal, and returns what appears there.
pub(crate) fn shown(mut command: Command) -> String {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("it may be used");
    unlockpt(&controller).expect("it may be opened");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_str().expect("a path"));
    let mut child = command.stdout(terminal.expect("it opens")).spawn().expect("a process");
    // The last descriptor of the program's side is the program's: its end is an error here.
    drop(command);
    let (mut controller, mut bytes, mut buffer) = (File::from(controller), Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = controller.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    child.wait().expect("its end");
    String::from_utf8(bytes).expect("a text").replace("\r\n", "\n")
}
