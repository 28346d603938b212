//! Until when the connections of one generator may wait.

use std::time::{Duration, Instant};

use crate::load::lane::{Lane, LaneState};
use crate::load::plan::{Close, Plan};
use crate::net::clock::{Clock, Tick};
use crate::net::timer_wheel::TimerWheel;
use crate::net::token::Token;

/// Until when the connections of one generator may wait for the server.
#[derive(Debug)]
pub(crate) struct Deadlines {
    connect_timeout: Duration,
    timeout: Duration,
    /// How long the server may take to close.
    close_timeout: Duration,
    clock: Clock,
    wheel: TimerWheel,
    /// When this thread last looked for connections that have waited for too long.
    looked: Tick,
    /// When it last came back from a pause. Before that nobody waited.
    back: Instant,
}

/// How long a server may take to close after the last reply, if that is no error.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A thread looks ten times per second. One that has not looked for this long was stopped, and
/// perhaps the server with it, as on a machine that was suspended.
const PAUSE: Duration = Duration::from_millis(500);

impl Deadlines {
    pub(crate) fn new(plan: &Plan) -> Deadlines {
        let is_strict = plan.close == Close::Strict;
        Deadlines {
            connect_timeout: plan.connect_timeout,
            timeout: plan.timeout,
            close_timeout: if is_strict { plan.timeout } else { CLOSE_TIMEOUT },
            clock: Clock::new(),
            wheel: TimerWheel::new(),
            looked: Tick::default(),
            back: Instant::now(),
        }
    }

    /// The time until the next connection must be checked.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.wheel.next().map(|next| self.clock.now().until(next))
    }

    /// The connections to check now.
    pub(crate) fn expired(&mut self) -> Vec<Token> {
        let (now, mut expired) = (self.clock.now(), Vec::new());
        if self.looked.until(now) > PAUSE {
            self.back = Instant::now();
        }
        self.looked = now;
        if self.wheel.next().is_some_and(|next| next <= now) {
            self.wheel.expire(now, &mut expired);
        }
        expired
    }

    /// Has a connection checked when its deadline may have passed.
    pub(crate) fn arm(&mut self, token: Token, lane: &Lane) {
        let (now, due) = (self.clock.now(), self.clock.at(self.due(lane)));
        // One that opens meanwhile has a reply to wait for, which may be due before.
        self.wheel.arm(token, due.min(now.after(self.timeout)), now);
    }

    /// When a connection has waited for too long. One that does not wait is looked at again
    /// later, in case it does then.
    pub(crate) fn due(&self, lane: &Lane) -> Instant {
        let timeout = match lane.state {
            LaneState::Connecting => self.connect_timeout,
            LaneState::Closing => self.close_timeout,
            _ => self.timeout,
        };
        lane.waits_since().unwrap_or_else(Instant::now).max(self.back) + timeout
    }
}
