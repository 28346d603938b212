//! A terminal that a program writes to.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A terminal of 80 columns, and what was written to it.
#[derive(Debug)]
pub(crate) struct Terminal {
    path: String,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub(crate) fn open() -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it can be opened");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("its size");
        let path = ptsname(&ours, Vec::new()).expect("its name");
        let (bytes, mut ours) = (Arc::default(), File::from(ours));
        let captured: Arc<Mutex<Vec<u8>>> = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails once nobody has the other end.
            while let Ok(count @ 1..) = ours.read(&mut buffer) {
                captured.lock().expect("no panic").extend_from_slice(&buffer[..count]);
            }
        });
        Terminal { path: path.into_string().expect("UTF-8"), bytes }
    }

    /// The end for a program.
    pub(crate) fn end(&self) -> File {
        File::options().read(true).write(true).open(&self.path).expect("a terminal")
    }

    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }
}
