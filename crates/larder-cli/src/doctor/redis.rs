//! What a Redis server's own facts say.

use larder::Store;
use larder::contract::Facts;
use larder::engine::RedisAddress;

use super::checks::{Check, refused};

/// Processes on several nodes compare wall clocks through the values that they cache.
const MAX_SKEW_MS: u64 = 1000;
/// The oldest version that Larder's commands are in.
const OLDEST: (u32, u32) = (6, 2);

/// Checks versions, role, memory, eviction, persistence and clients. No round trip.
pub(super) fn examine(address: &RedisAddress, facts: &Facts) -> Vec<Check> {
    [
        version(facts),
        commands(facts),
        kind(address, facts),
        role(facts),
        replicas(facts),
        memory(facts),
        eviction(facts),
        persistence(facts),
        clients(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Compares the server's clock with this node's.
pub(super) fn clock(store: &Store) -> Check {
    // The answer to this brings the server's time.
    if let Err(error) = store.sync() {
        return refused("clock", &error);
    }
    let server = store.backend().now();
    let here = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let skew = server.abs_diff(here);
    let found = format!("the server's clock and this node's differ by {skew} ms");
    if skew <= MAX_SKEW_MS {
        Check::ok("clock", found)
    } else {
        Check::problem("clock", found, "run NTP (chrony, systemd-timesyncd) on both")
    }
}

fn version(facts: &Facts) -> Option<Check> {
    let version = facts.text("redis_version")?;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let about = format!("Redis {version}, larder {}", env!("CARGO_PKG_VERSION"));
    Some(if found >= OLDEST {
        Check::ok("version", about)
    } else {
        Check::warning(
            "version",
            about,
            format!("Larder is tested on Redis {}.{} and later", OLDEST.0, OLDEST.1),
        )
    })
}

/// What the server refuses of what Larder can do without.
fn commands(facts: &Facts) -> Option<Check> {
    Some(match facts.text("refused_commands")? {
        "none" => Check::ok("commands", "none is refused that Larder would use"),
        // All servers of these versions do.
        refused @ "HPEXPIREAT" => {
            Check::ok("commands", format!("{refused} is refused: writes remove expired entries"))
        }
        refused => Check::note(
            "commands",
            format!("refused: {refused}"),
            "Larder goes on without them, at some cost: see \"Services\" in docs/redis.md",
        ),
    })
}

/// What kind of server it is, and which of several serves.
fn kind(address: &RedisAddress, facts: &Facts) -> Option<Check> {
    let in_cluster = facts.number("cluster_enabled")? == 1;
    let node = facts.text("node").unwrap_or("the socket");
    Some(match address {
        RedisAddress::Cluster { .. } if in_cluster => {
            Check::ok("kind", format!("a cluster, of which {node} serves this namespace"))
        }
        RedisAddress::Cluster { .. } => Check::note(
            "kind",
            format!("{node} is no node of a cluster"),
            "redis:// is enough for a server that stands alone",
        ),
        _ if in_cluster => Check::problem(
            "kind",
            format!("{node} is a node of a cluster"),
            "give the server as redis-cluster://host,host: which node has the namespace may change",
        ),
        RedisAddress::Sentinel { service, .. } => {
            Check::ok("kind", format!("the service {service}, whose primary is {node}"))
        }
        RedisAddress::Tcp { .. } | RedisAddress::Unix(_) => return None,
    })
}

fn role(facts: &Facts) -> Option<Check> {
    Some(match facts.text("role")? {
        "master" => Check::ok("role", "master"),
        other => Check::problem(
            "role",
            other,
            "point Larder at the master: a replica refuses writes and lags behind",
        ),
    })
}

fn replicas(facts: &Facts) -> Option<Check> {
    let (replicas, least) = (facts.number("connected_slaves")?, facts.number("min-replicas-to-write")?);
    (replicas > 0 && least == 0).then(|| {
        Check::warning(
            "replicas",
            format!("{replicas} connected, min-replicas-to-write is 0"),
            "set min-replicas-to-write 1, so that a primary that was cut off stops taking writes",
        )
    })
}

fn memory(facts: &Facts) -> Option<Check> {
    let used = facts.number("used_memory")?;
    Some(match facts.number("maxmemory")? {
        0 => Check::warning(
            "memory",
            format!("{} MB in use, no maxmemory", used >> 20),
            "set maxmemory, so that a full cache cannot bring the machine down",
        ),
        bound if used > bound / 10 * 9 => Check::warning(
            "memory",
            format!("{} of {} MB in use", used >> 20, bound >> 20),
            "raise maxmemory before entries are evicted or writes refused",
        ),
        bound => Check::ok("memory", format!("{} of {} MB in use", used >> 20, bound >> 20)),
    })
}

fn eviction(facts: &Facts) -> Option<Check> {
    let policy = facts.text("maxmemory_policy")?;
    let evicted = facts.number("evicted_keys").unwrap_or(0);
    let found = format!("maxmemory-policy {policy}, {evicted} keys evicted so far");
    let mend = "set maxmemory-policy volatile-lru: a full server then drops whole caches that can be filled again, \
                and neither sessions nor Larder's log";
    Some(if policy.starts_with("allkeys") {
        Check::problem("eviction", found, mend)
    } else if policy == "noeviction" {
        Check::warning("eviction", format!("{found}: a full server refuses writes"), mend)
    } else {
        Check::ok("eviction", found)
    })
}

fn persistence(facts: &Facts) -> Option<Check> {
    let snapshots = facts.text("save").map(|save| !matches!(save, "" | "none"));
    let append_only = facts.number("aof_enabled")? == 1;
    if facts.text("rdb_last_bgsave_status") == Some("err")
        || facts.text("aof_last_write_status") == Some("err")
    {
        return Some(Check::problem(
            "persistence",
            "the server failed to save its data, so it may refuse writes",
            "see the server's log: most often its disk is full or not writable; or switch saving off",
        ));
    }
    Some(match (snapshots, append_only) {
        (Some(false), false) => Check::note(
            "persistence",
            "off: a restart empties everything, sessions kept in Larder included",
            "switch it on only if those sessions must survive; all other caches are emptied at a restart anyhow",
        ),
        (Some(true), false) => {
            Check::ok("persistence", "snapshots: a restart may lose the newest session data")
        }
        (None, false) => {
            Check::ok("persistence", "no append-only file; the server does not tell about snapshots")
        }
        (_, true) => Check::ok("persistence", "append-only file"),
    })
}

fn clients(facts: &Facts) -> Option<Check> {
    let (now, most) = (facts.number("connected_clients")?, facts.number("maxclients")?);
    let found = format!("{now} of at most {most} connected");
    Some(if now > most / 10 * 8 {
        Check::warning("clients", found, "raise maxclients: every PHP worker keeps a connection")
    } else {
        Check::ok("clients", found)
    })
}
