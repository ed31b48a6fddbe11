//! The script of the Redis backend does to locks what `lock/rules.rs` says: the same generated
//! histories, on a real server and by the rules, have the same answers.
//!
//! A driver runs whole histories on the server with the script as it is, but for its clock.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method has one lifetime, the closure any"
)]

use std::fmt::Write as _;
use std::time::Duration;

use larder::contract::{Attempt, Handed, LockKind, LockProof, Token};
use larder::testing::lock_rules::{Common, Party, Row, Turn};
use larder_testkit::RedisServer;
use larder_tests::random::Random;

const HISTORIES: usize = 10_000;
const BATCH: usize = 250;
const STEPS: usize = 24;
/// No history is longer than this in milliseconds, after which the script sweeps rows.
const LONGEST: u64 = 55_000;
const NAMES: [&str; 2] = ["lc/k", "n/k"];
const TOKENS: u64 = 4;
const START: u64 = 1_700_000_000_000;

const IDENTITY: &str = include_str!("../../crates/larder/src/backend/redis/identity.lua");
const SCRIPT: &str = include_str!("../../crates/larder/src/backend/redis/locks.lua");
/// ARGV: histories, each a list of steps `[ms, what, …]`. Answers a line for each step.
const DRIVER: &str = "
local META, LOCKS = '{t}m', '{t}k'
local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
local cert = string.match(server, 'run_id:(%w+)') .. '/' .. string.match(replication, 'master_replid:(%w+)')
local told = {}
for _, history in ipairs(cjson.decode(ARGV[1])) do
  local old = {}
  local function begin(now, rows)
    redis.call('DEL', LOCKS, '{t}q:lc/k', '{t}q:n/k')
    redis.call('HSET', LOCKS, '', '')
    if #rows > 0 then redis.call('HSET', LOCKS, unpack(rows)) end
    redis.call('HSET', META, 'born', now)
  end
  redis.call('DEL', META)
  redis.call('HSET', META, 'cert', cert)
  begin('0', {})
  for _, step in ipairs(history) do
    local now, what, name = step[1], step[2], step[3]
    if what == 'lose' then
      begin(now, {})
    elseif what == 'save' then
      old = redis.call('HGETALL', LOCKS)
    elseif what == 'restore' then
      begin(now, old)
    else
      local words = {what, '99999999999999999'}
      for i = 3, #step do words[i] = step[i] end
      local queue = what == 'renew' and step[4] or name
      local seconds = math.floor(now / 1000)
      local keys = {META, LOCKS, '{t}q:' .. queue, '{t}w:' .. (step[4] or '')}
      local answer = run(keys, words, {seconds, (now - seconds * 1000) * 1000}, tonumber(now))
      local line = tostring(answer[3] or '') .. ' ' .. tostring(answer[4] or '')
      for token = 1, 4 do
        local push = redis.call('LPOP', string.format('{t}w:%032x', token))
        if push then line = line .. ' ' .. token .. ':' .. push end
      end
      told[#told + 1] = line
    end
  end
end
return told
";

fn one_of<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.below(of.len() as u64)).unwrap()]
}

/// The same place by the rules.
#[derive(Default)]
struct Place {
    common: Common,
    rows: [Row<()>; 2],
    old: [Row<()>; 2],
    /// The newest number that each token was given for each lock.
    fences: [[u64; 4]; 2],
}

impl Place {
    /// Something that may end in a grant, with which the script looks over all rows.
    fn turn<T>(&mut self, lock: usize, now: u64, decide: impl FnOnce(&mut Turn<'_, ()>) -> T) -> T {
        let before = self.common.fence;
        let answer = self.look(lock, now, decide);
        if self.common.fence != before {
            for lock in 0..NAMES.len() {
                self.look(lock, now, |turn| turn.holder());
            }
        }
        answer
    }

    fn look<T>(&mut self, lock: usize, now: u64, decide: impl FnOnce(&mut Turn<'_, ()>) -> T) -> T {
        decide(&mut Turn {
            common: &mut self.common,
            row: &mut self.rows[lock],
            kind: LockKind::of(NAMES[lock].as_bytes()),
            now,
            stamp: now * 1_000,
            alive: &|_| true,
        })
    }

    /// All rows but their queues.
    fn begin(&mut self, now: u64, rows: [Row<()>; 2]) {
        self.common.born = now;
        self.rows = rows.map(|row| Row { holder: row.holder, queue: Vec::new() });
    }
}

fn party(token: u64) -> Party<()> {
    Party { token: Token::from_number(token.into()), owner: (*b"o").into(), process: () }
}

/// What was said to the place, for the driver, and its answer, if there is one.
type Step = (String, Option<(String, Option<(Token, Handed)>)>);

fn one_step(random: &mut Random, place: &mut Place, lock: usize, now: u64) -> Step {
    let (name, token) = (NAMES[lock], 1 + random.below(TOKENS));
    let lease = one_of(random, &[2_500, 2_500, 4_000]);
    let hex = Token::from_number(token.into());
    match random.below(40) {
        0 => {
            place.begin(now, Default::default());
            ("\"lose\"".to_owned(), None)
        }
        1 => {
            place.old = place.rows.clone();
            ("\"save\"".to_owned(), None)
        }
        2 => {
            let old = place.old.clone();
            place.begin(now, old);
            ("\"restore\"".to_owned(), None)
        }
        3 => {
            let fence = now * 1_000 + 7;
            place.common = Common { born: now, fence: place.common.fence.max(fence) };
            place.rows.iter_mut().for_each(|row| row.holder = None);
            (format!("\"distrust\",\"{fence}\""), Some((String::new(), None)))
        }
        4 => {
            let (broken, handed) = place.turn(lock, now, |turn| turn.release(None, lease));
            (format!("\"break\",\"{name}\",\"\",\"{lease}\""), Some((u8::from(broken).to_string(), handed)))
        }
        5..=7 => {
            let holder = place.look(lock, now, |turn| turn.holder());
            let holder = holder.map(|token| token.to_string()).unwrap_or_default();
            (format!("\"holder\",\"{name}\""), Some((holder, None)))
        }
        8..=15 => {
            let token = Token::from_number(token.into());
            let (released, handed) = place.turn(lock, now, |turn| turn.release(Some(token), lease));
            let line = (u8::from(released).to_string(), handed);
            (format!("\"release\",\"{name}\",\"{hex}\",\"{lease}\""), Some(line))
        }
        16..=24 => {
            let fence = place.fences[lock][usize::try_from(token - 1).unwrap()];
            let proof = LockProof { token: Token::from_number(token.into()), fence };
            let believed = random.below(3) > 0 && fence > 0;
            let renewed = place.look(lock, now, |turn| turn.renew(&party(token), proof, believed, lease));
            let words = format!(
                "\"renew\",\"{lease}\",\"{name}\",\"{hex}\",\"o\",\"{fence}\",\"{}\"",
                if believed { now + 1 } else { now }
            );
            (words, Some((u8::from(renewed).to_string(), None)))
        }
        _ => {
            let queue = random.below(3) > 0;
            let (attempt, handed) = place.turn(lock, now, |turn| turn.acquire(&party(token), lease, queue));
            let answer = match attempt {
                Attempt::Mine { fence } => {
                    place.fences[lock][usize::try_from(token - 1).unwrap()] = fence;
                    format!("{fence} 0")
                }
                Attempt::Wait { at_most } => format!(" {}", at_most.as_millis()),
                Attempt::Grace { left } => format!("grace {}", left.as_millis()),
            };
            let words = format!("\"acquire\",\"{name}\",\"{hex}\",\"o\",\"{lease}\",\"{}\"", u8::from(queue));
            (words, Some((answer, handed)))
        }
    }
}

/// One history: its steps for the driver, and a line for each answer.
fn history(random: &mut Random, steps: &mut String, told: &mut Vec<String>) {
    let mut place = Place::default();
    // The driver's first number is none.
    let (mut now, mut end) = (START, START + LONGEST);
    steps.push('[');
    for step in 0..STEPS {
        let pause = one_of(random, &[0, 0, 1, 300, 1_000, 1_999, 2_001, 2_600, 3_100]);
        now = (now + pause).min(end);
        if random.below(30) == 0 {
            let back = one_of(random, &[700, 5_000, 3_600_000]);
            now -= back;
            end -= back;
        }
        let lock = usize::try_from(random.below(2)).unwrap();
        let (words, line) = one_step(random, &mut place, lock, now);
        write!(steps, "{}[{now},{words}]", if step == 0 { "" } else { "," }).unwrap();
        if let Some((answer, handed)) = line {
            told.push(tell(&answer, handed, &mut place, lock));
        }
    }
    steps.push(']');
}

fn tell(answer: &str, handed: Option<(Token, Handed)>, place: &mut Place, lock: usize) -> String {
    let mut line = answer.to_owned();
    if !line.contains(' ') {
        line.push(' ');
    }
    if let Some((token, Handed { fence, lease })) = handed {
        let number = usize::try_from(token.number()).unwrap();
        place.fences[lock][number - 1] = fence;
        write!(line, " {number}:{fence} {}", lease.as_millis()).unwrap();
    }
    line
}

#[test]
fn the_script_states_the_rules() {
    let driver = format!(
        "local function run(KEYS, ARGV, time, now)\n\
         local function server_time() return now, time end\n{IDENTITY}{SCRIPT}\nend\n{DRIVER}"
    );
    let server = RedisServer::start();
    let mut connection = server.connect();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut random = Random(0x1a2b_3c4d_5e6f);
    let mut granted = 0;
    for batch in 0..HISTORIES / BATCH {
        let (mut steps, mut told, mut ends) = ("[".to_owned(), Vec::new(), Vec::new());
        for number in 0..BATCH {
            steps.push_str(if number == 0 { "" } else { "," });
            let begin = steps.len();
            history(&mut random, &mut steps, &mut told);
            ends.push((told.len(), begin, steps.len()));
        }
        steps.push(']');
        let answers: Vec<String> =
            redis::cmd("EVAL").arg(&driver).arg(0).arg(&steps).query(&mut connection).unwrap();
        assert_eq!(answers.len(), told.len());
        for (at, (answer, told)) in answers.iter().zip(&told).enumerate() {
            let (_, begin, end) = *ends.iter().find(|(last, ..)| at < *last).unwrap();
            assert_eq!(answer, told, "batch {batch}, answer {at} of {}", steps.get(begin..end).unwrap());
        }
        granted += told.iter().filter(|line| line.len() > 16).count();
    }
    println!("{granted} grants");
}
