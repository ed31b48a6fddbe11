//! Whatever a server does, and whatever looks up its name, each operation ends within connect and
//! read timeout.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::contract::{Backend, Claim, LockBackend, LockProof, Op, Read, Renewal, Token};
use larder::testing::redis::Redis;
use larder::{Config, Error, ErrorKind, Store};
use larder_testkit::{Answers, Proxy, RedisServer};
use larder_tests::redis::{cache, delete, open_with, set};
use larder_tests::tls::Identity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Connect and read timeout.
const TIMEOUT: Duration = Duration::from_millis(150);
const OPTIONS: [(&str, &str); 2] = [("connect_timeout", "0.15"), ("read_timeout", "0.15")];
/// What an operation may take beyond both.
const MARGIN: Duration = Duration::from_millis(100);
const BOTH: Duration = TIMEOUT.saturating_add(TIMEOUT).saturating_add(MARGIN);
/// A sleep, to measure by how much more the machine lets it last.
const SLEEP: Duration = Duration::from_millis(2);

/// How long a thread beside the others had to wait for a processor.
struct Machine(Arc<AtomicU64>);

impl Machine {
    fn new() -> Self {
        let waited = Arc::new(AtomicU64::new(0));
        let seen = Arc::downgrade(&waited);
        thread::spawn(move || {
            loop {
                let began = Instant::now();
                thread::sleep(SLEEP);
                let late = began.elapsed().saturating_sub(SLEEP);
                let Some(waited) = seen.upgrade() else { return };
                waited.fetch_add(u64::try_from(late.as_nanos()).unwrap(), Ordering::Relaxed);
            }
        });
        Self(waited)
    }

    /// How long it had to wait until now, and this thread as well, as far as the kernel says so.
    fn waited(&self) -> Duration {
        let own = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let own = own.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
        Duration::from_nanos(self.0.load(Ordering::Relaxed) + own)
    }

    /// What `work` answers, which must take no longer than `most`.
    fn in_time<T>(&self, case: &str, most: Duration, work: impl FnOnce() -> T) -> T {
        let (began, before) = (Instant::now(), self.waited());
        let answer = work();
        let took = began.elapsed();
        // The last sleep ends before it is looked at.
        thread::sleep(SLEEP);
        let most = most + self.waited().saturating_sub(before);
        assert!(took <= most, "{case}: took {took:?}, more than {most:?}");
        answer
    }
}

type Operation = (&'static str, fn(&Redis) -> Result<(), Error>);

fn token() -> Token {
    Token::from_number(7)
}

/// Until it goes well: on a busy machine the time-outs are short.
fn eventually<T>(operate: impl Fn() -> Result<T, Error>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match operate() {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > until => unreachable!("{error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Every question that a server can be asked.
const OPERATIONS: &[Operation] = &[
    ("sync", |redis| redis.fetch(None, &[]).map(drop)),
    ("get", |redis| redis.fetch(None, &[Read { cache: &cache(), key: b"k" }]).map(drop)),
    ("getMany", |redis| {
        let (cache, keys) = (cache(), [b"a", b"b", b"c"]);
        redis.fetch(None, &keys.map(|key| Read { cache: &cache, key })).map(drop)
    }),
    ("set", |redis| redis.apply(None, &[set(&cache(), b"k", &[b'v'; 3000])]).map(drop)),
    ("set of 3 MB", |redis| redis.apply(None, &[set(&cache(), b"k", &vec![b'v'; 3 << 20])]).map(drop)),
    ("delete", |redis| redis.apply(None, &[delete(&cache(), b"k")]).map(drop)),
    ("purge", |redis| redis.apply(None, &[Op::Purge { cache: &cache() }]).map(drop)),
    ("keys", |redis| Backend::list(redis, &cache(), b"", &mut |_| {})),
    ("usage", |redis| redis.usage().map(drop)),
    ("reset", Backend::reset),
    ("describe", |redis| redis.describe().map(drop)),
    ("lock", |redis| {
        let lease = Duration::from_secs(5);
        redis.acquire(&Claim { name: b"n", token: token(), owner: b"o", lease, queue: true }).map(drop)
    }),
    ("release", |redis| redis.release(b"n", token()).map(drop)),
    ("renew", |redis| {
        let proof = LockProof { token: token(), fence: 1 };
        let renewal = Renewal { name: b"n", owner: b"o", proof, believed_until: Duration::MAX };
        redis.renew(&[renewal], Duration::from_secs(5)).map(drop)
    }),
    ("holder", |redis| redis.holder(b"n").map(drop)),
    ("list of locks", |redis| LockBackend::list(redis).map(drop)),
    ("break of a lock", |redis| redis.break_lock(b"n").map(drop)),
];

const FAULTS: [Answers; 7] = [
    Answers::Drip(Duration::from_millis(40)),
    Answers::Stall,
    Answers::HalfStall,
    Answers::Half,
    Answers::Cut,
    Answers::Flood("$100000000\r\n"),
    Answers::Always("*4000000000\r\n"),
];

/// All operations, as a first use and on a connection that was well, while `fault` happens to the
/// answers of the server behind `port`.
fn worry(machine: &Machine, port: u16, fault: Answers, open: &dyn Fn(u16) -> Redis) {
    let proxy = Proxy::new(port);
    for (name, operation) in OPERATIONS {
        proxy.answers(fault);
        let redis = open(proxy.port());
        let case = format!("first use, {name}, {fault:?}");
        let error = machine.in_time(&case, BOTH, || operation(&redis)).expect_err(&case);
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Foreign), "{case}: {error}");

        proxy.answers(Answers::Pass);
        let redis = open(proxy.port());
        eventually(|| redis.fetch(None, &[]));
        proxy.answers(fault);
        let case = format!("{name}, {fault:?}");
        let error = machine.in_time(&case, BOTH, || operation(&redis)).expect_err(&case);
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Foreign), "{case}: {error}");
    }
    // Whoever waits for a lock sleeps on a connection of its own.
    let park = Duration::from_millis(100);
    let redis = open(proxy.port());
    machine.in_time(&format!("park, {fault:?}"), park + BOTH, || redis.park(token(), park));
}

#[test]
fn a_faulty_server_holds_nobody() {
    let (server, machine) = (RedisServer::start(), Machine::new());
    let open = |port| open_with(&format!("redis://127.0.0.1:{port}"), &OPTIONS);
    thread::scope(|scope| {
        for fault in FAULTS {
            let (machine, port) = (&machine, server.port());
            scope.spawn(move || worry(machine, port, fault, &open));
        }
    });
}

#[test]
fn a_faulty_server_with_tls_holds_nobody() {
    let (identity, machine) = (Identity::new(), Machine::new());
    let (_server, port) = identity.server();
    let ca = identity.ca.display().to_string();
    let open = |port| {
        let options = [OPTIONS.as_slice(), &[("ca_file", &ca)]].concat();
        open_with(&format!("rediss://localhost:{port}"), &options)
    };
    thread::scope(|scope| {
        for fault in FAULTS {
            let (machine, open) = (&machine, &open);
            scope.spawn(move || worry(machine, port, fault, open));
        }
    });
}

/// A flood within TLS, and answers that announce more than was asked for, by a server that is who
/// it says.
#[test]
fn a_flood_behind_tls_ends() {
    let (identity, machine) = (Identity::new(), Machine::new());
    let chain = vec![CertificateDer::from_pem_file(identity.path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(identity.path("server.key")).unwrap();
    let config =
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
    let ca = identity.ca.display().to_string();
    let options = [OPTIONS.as_slice(), &[("ca_file", &ca)]].concat();
    for answer in ["$100000000\r\n", "*4000000000\r\n", "$4000000000\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::clone(&config);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let mut stream =
                    StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
                let flood = answer.repeat(1000);
                // Until the client has had enough.
                let _ = stream.read(&mut [0; 1000]);
                while stream.write_all(flood.as_bytes()).is_ok() {}
            }
        });
        for (name, operation) in OPERATIONS {
            let redis = open_with(&format!("rediss://localhost:{port}"), &options);
            let case = format!("{name}, {}", answer.trim());
            machine.in_time(&case, BOTH, || operation(&redis)).expect_err(&case);
        }
    }
}

/// What was not asked for is refused before it comes, and takes no memory.
#[test]
fn answers_of_any_size_are_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let redis = open_with(&proxy.url(), &OPTIONS);
    for answer in [
        "*4000000000\r\n",
        "$4000000000\r\n",
        "*9223372036854775807\r\n",
        "$600000000\r\nx",
        "*2\r\n*4000000000\r\n",
        "*1\r\n",
    ] {
        for (name, operation) in OPERATIONS {
            proxy.answers(Answers::Pass);
            eventually(|| redis.fetch(None, &[]));
            proxy.answers(Answers::Always(answer));
            let error = operation(&redis).expect_err(name);
            // A server that closes the connection when it is not heard out may be seen first.
            assert!(matches!(error.kind(), ErrorKind::Foreign | ErrorKind::Unavailable), "{name}: {error}");
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    assert!(peak.unwrap().parse::<u64>().unwrap() < 300 << 10, "{peak:?} kB");
}

type Use = (&'static str, fn(&larder::Cache) -> Result<(), Error>);

/// Stores ask for the set of keys that are always needed, look at locks and so on: also their first
/// use.
#[test]
fn a_store_ends_in_time() {
    let (server, machine) = (RedisServer::start(), Machine::new());
    let uses: [Use; 6] = [
        ("get", |cache| cache.get::<u8>("k").map(drop)),
        ("getMany", |cache| cache.get_many::<u8>(&["k", "l"]).map(drop)),
        ("set", |cache| cache.set("k", &1)),
        ("delete", |cache| cache.delete("k").map(drop)),
        ("purge", larder::Cache::purge),
        ("keys", |cache| cache.keys("").map(drop)),
    ];
    for fault in [Answers::Drip(Duration::from_millis(40)), Answers::Stall] {
        let proxy = Proxy::new(server.port());
        proxy.answers(fault);
        for (name, operate) in uses {
            // What one knows of a server that is away is known to the others of its namespace.
            let namespace = format!("{name}{}", proxy.port());
            let url = proxy.url();
            let options =
                [OPTIONS.as_slice(), &[("server", url.as_str()), ("namespace", namespace.as_str())]].concat();
            let cache = Store::open(&Config::from_options(options).unwrap()).unwrap().cache("c").unwrap();
            let case = format!("{name}, {fault:?}");
            machine.in_time(&case, BOTH, || operate(&cache)).expect_err(&case);
        }
    }
}

/// Waiting for a lock, while the server stops to answer in the middle of the wait.
#[test]
fn a_wait_for_a_lock_ends() {
    let (server, machine) = (RedisServer::start(), Machine::new());
    for fault in [Answers::Stall, Answers::Drip(Duration::from_millis(40)), Answers::Cut] {
        let proxy = Proxy::new(server.port());
        let open = |url: &str, timeout| {
            let times = [("connect_timeout", timeout), ("read_timeout", timeout), ("lock_lease", "1")];
            let options = [&[("server", url)], times.as_slice()].concat();
            Store::open(&Config::from_options(options).unwrap()).unwrap().cache("c").unwrap()
        };
        let (holder, waiter) = (open(&server.tcp_url(), "10"), open(&proxy.url(), "0.15"));
        eventually(|| waiter.purge());
        let _held = holder.lock("k", "holder", Duration::from_secs(20)).unwrap().unwrap();
        let wait = Duration::from_millis(400);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(wait / 2);
                proxy.answers(fault);
            });
            let case = format!("{fault:?}");
            let got = machine.in_time(&case, wait + BOTH, || waiter.lock("k", "waiter", wait));
            assert!(!matches!(got, Ok(Some(_))), "{case}");
        });
    }
}

/// Runs a test in a process of its own, where looking up names takes as long as `slow_names.c`
/// says.
fn with_slow_names(test: &str, work: impl FnOnce()) {
    if std::env::var_os("LARDER_SLOW_NAMES").is_some() {
        return work();
    }
    let directory = tempfile::TempDir::new().unwrap();
    let library = directory.path().join("slow_names.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/slow_names.c");
    let mut cc = std::process::Command::new("cc");
    let compiled = cc.args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]).status();
    assert!(compiled.unwrap().success());
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("LD_PRELOAD", &library)
        .env("LARDER_SLOW_NAMES", "1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_name_that_is_not_looked_up_holds_nobody() {
    with_slow_names("a_name_that_is_not_looked_up_holds_nobody", || {
        let (server, machine) = (RedisServer::start(), Machine::new());
        let redis = open_with(&format!("redis://slow.test:{}", server.port()), &OPTIONS);
        for (name, operation) in OPERATIONS {
            let error = machine.in_time(name, BOTH, || operation(&redis)).expect_err(name);
            assert!(error.to_string().contains("slow.test"), "{error}");
        }
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten().filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "larder-names")
        });
        assert_eq!(threads.count(), 1, "look-ups at a time");
        // What was found in the end is there for who asks next, while the name is looked up once
        // more.
        let redis = open_with(&format!("redis://late.test:{}", server.port()), &OPTIONS);
        machine.in_time("late", BOTH, || redis.fetch(None, &[])).unwrap_err();
        eventually(|| machine.in_time("late", BOTH, || redis.fetch(None, &[])));
    });
}

#[test]
fn addresses_that_were_good_are_used_when_none_can_be_found() {
    with_slow_names("addresses_that_were_good_are_used_when_none_can_be_found", || {
        let (server, machine) = (RedisServer::start(), Machine::new());
        let proxy = Proxy::new(server.port());
        for host in ["later.test", "gone.test"] {
            let redis = open_with(&format!("redis://{host}:{}", proxy.port()), &OPTIONS);
            eventually(|| redis.fetch(None, &[]));
            for _ in 0..3 {
                proxy.cut();
                eventually(|| machine.in_time(host, BOTH, || redis.fetch(None, &[])));
            }
        }
    });
}

/// Several addresses share the connect timeout, and one that answers is found behind those that do
/// not.
#[test]
fn all_addresses_of_a_host_share_the_time() {
    with_slow_names("all_addresses_of_a_host_share_the_time", || {
        let machine = Machine::new();
        // Its backlog is full, so that whoever connects waits.
        let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        deaf.bind(&any.into()).unwrap();
        deaf.listen(0).unwrap();
        let address = deaf.local_addr().unwrap().as_socket().unwrap();
        let waiting: Vec<_> = (0..4)
            .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)))
            .collect();
        assert!(waiting.iter().any(Result::is_err), "its backlog is not full");
        let url = format!("redis://many.test:{}", address.port());
        for (name, operation) in OPERATIONS {
            machine.in_time(name, BOTH, || operation(&open_with(&url, &OPTIONS))).expect_err(name);
        }
        let server = TcpListener::bind(("127.0.0.3", address.port())).unwrap();
        let options = [("connect_timeout", "3"), ("read_timeout", "0.1")];
        open_with(&url, &options).fetch(None, &[]).unwrap_err();
        server.set_nonblocking(true).unwrap();
        assert!(server.accept().is_ok(), "the last address was not tried");
    });
}
