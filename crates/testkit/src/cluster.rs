//! A cluster of servers.

use redis::Value;

use crate::RedisServer;
use crate::redis_server::{free_port, wait_until};

/// Three primaries with a third of the slots each, and a replica for each of them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    server: RedisServer,
    id: String,
    bus: u16,
}

/// How long nodes wait for each other, in milliseconds, on a machine that may be busy, and how long
/// once one was killed.
const PATIENT: &str = "60000";
const QUICK: &str = "1000";
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// A line of what a node knows of the cluster.
struct Known {
    id: String,
    primary: Option<String>,
    alive: bool,
    slots: Vec<(u16, u16)>,
}

impl Node {
    fn start() -> Self {
        let bus = free_port();
        let server = RedisServer::start_with(&[
            "cluster-enabled",
            "yes",
            "cluster-config-file",
            "nodes.conf",
            "cluster-port",
            &bus.to_string(),
            "cluster-node-timeout",
            PATIENT,
            "cluster-replica-validity-factor",
            "0",
            "cluster-allow-replica-migration",
            "no",
        ]);
        let id = server.tell(&["CLUSTER", "MYID"]);
        Self { server, id, bus }
    }

    fn meet(&self, other: &Self) {
        let (port, bus) = (other.server.port().to_string(), other.bus.to_string());
        let _: String = self.server.tell(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    }

    /// What it knows of all nodes, itself among them.
    fn known(&self) -> Vec<Known> {
        let text: String = self.server.tell(&["CLUSTER", "NODES"]);
        let read = |line: &str| {
            let mut words = line.split(' ');
            let (id, flags, primary) = (words.next()?, words.nth(1)?, words.next()?);
            let slots = words.skip(4).filter_map(|slots| {
                let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
                Some((first.parse().ok()?, last.parse().ok()?))
            });
            Some(Known {
                id: id.to_owned(),
                primary: (primary != "-").then(|| primary.to_owned()),
                alive: !flags.contains("fail") && !flags.contains("handshake") && !flags.contains("noaddr"),
                slots: slots.collect(),
            })
        };
        text.lines().filter_map(read).collect()
    }

    fn is_well(&self) -> bool {
        self.server.tell::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    }
}

impl Cluster {
    /// Starts it.
    pub fn start() -> Self {
        let nodes: Vec<Node> = (0..2 * PRIMARIES).map(|_| Node::start()).collect();
        let cluster = Self { nodes };
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            let _: String = node.server.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if number < PRIMARIES {
                let (first, end) = (SLOTS * number / PRIMARIES, SLOTS * (number + 1) / PRIMARIES);
                let range = [first.to_string(), (end - 1).to_string()];
                let _: String = node.server.tell(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            }
            cluster.node(0).meet(node);
        }
        cluster.wait_until_all_know(2 * PRIMARIES);
        for (number, replica) in cluster.nodes.iter().enumerate().skip(PRIMARIES) {
            let _: String =
                replica.server.tell(&["CLUSTER", "REPLICATE", &cluster.node(number - PRIMARIES).id]);
        }
        for replica in cluster.nodes.iter().skip(PRIMARIES) {
            replica.server.wait_for("INFO", "replication", "master_link_status:up");
        }
        wait_until("each node knows whose replica each is", || {
            cluster.nodes.iter().all(|node| {
                node.is_well()
                    && node.known().iter().filter(|known| known.primary.is_some()).count() == PRIMARIES
            })
        });
        cluster
    }

    /// The URL of the cluster.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.server.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// One of the nodes: primaries are first at the start.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn server(&self, number: usize) -> &RedisServer {
        &self.node(number).server
    }

    /// Which node serves a key, in the view of those that run; `None` while they disagree or it is
    /// gone.
    pub fn owner(&self, key: &str) -> Option<usize> {
        let mut owners = self.running().map(|node| owner(&node.known(), slot(node, key)));
        let first = owners.next()??;
        let all = owners.all(|owner| owner.as_ref() == Some(&first));
        let owner = self.nodes.iter().position(|node| node.id == first)?;
        (all && self.server(owner).runs() && self.running().all(Node::is_well)).then_some(owner)
    }

    /// The node that serves a key, once all agree which one that is.
    pub fn await_owner(&self, key: &str) -> usize {
        let mut found = None;
        wait_until("the nodes agree on who serves the key", || {
            found = self.owner(key);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Another primary than the one that serves a key.
    ///
    /// # Panics
    /// If there is none.
    pub fn another(&self, key: &str) -> usize {
        let owner = self.await_owner(key);
        let known = self.node(owner).known();
        let another = self.nodes.iter().position(|node| {
            node.id != self.node(owner).id
                && known.iter().any(|known| known.id == node.id && known.alive && !known.slots.is_empty())
        });
        another.unwrap_or_else(|| unreachable!("there is another primary"))
    }

    /// Adds a primary without slots; its number.
    pub fn add(&mut self) -> usize {
        let node = Node::start();
        self.node(0).meet(&node);
        self.nodes.push(node);
        self.wait_until_all_know(self.nodes.len());
        wait_until("the new node is well", || self.nodes.last().is_some_and(Node::is_well));
        self.nodes.len() - 1
    }

    /// Has a replica take over from the node that serves a key, while that runs.
    pub fn fail_over(&self, key: &str) {
        let owner = self.await_owner(key);
        let replica = self.replica_of(owner);
        self.server(replica).wait_for("INFO", "replication", "master_link_status:up");
        let _: String = self.server(replica).tell(&["CLUSTER", "FAILOVER"]);
        wait_until("the replica has taken over", || self.owner(key) == Some(replica));
    }

    /// Kills the node that serves a key (`SIGKILL`), and waits until its replica has taken over.
    /// Which one was killed.
    pub fn kill_owner(&mut self, key: &str) -> usize {
        let owner = self.await_owner(key);
        let replica = self.replica_of(owner);
        self.server(replica).wait_for("INFO", "replication", "master_link_status:up");
        if let Some(node) = self.nodes.get_mut(owner) {
            node.server.kill();
        }
        self.wait_for_nodes(QUICK);
        wait_until("the replica has taken over", || self.owner(key) == Some(replica));
        self.wait_for_nodes(PATIENT);
        owner
    }

    fn wait_for_nodes(&self, millis: &str) {
        for node in self.running() {
            let _: String = node.server.tell(&["CONFIG", "SET", "cluster-node-timeout", millis]);
        }
    }

    /// Starts a node that was killed, and waits until it is a replica.
    pub fn restart(&mut self, number: usize) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.server.restart();
        }
        self.server(number).wait_for("INFO", "replication", "master_link_status:up");
    }

    /// Begins to move the slot of a key to another node.
    pub fn begin_move(&self, key: &str, to: usize) -> Move<'_> {
        let from = self.await_owner(key);
        let slot = slot(self.node(from), key).to_string();
        let set = |node: usize, words: [&str; 2]| -> String {
            self.server(node).tell(&["CLUSTER", "SETSLOT", &slot, words[0], words[1]])
        };
        let _ = set(to, ["IMPORTING", &self.node(from).id]);
        let _ = set(from, ["MIGRATING", &self.node(to).id]);
        Move { cluster: self, slot, from, to }
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes.get(number).unwrap_or_else(|| unreachable!("no node {number}"))
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.server.runs())
    }

    fn replica_of(&self, number: usize) -> usize {
        let node = self.node(number);
        let mut found = None;
        wait_until("the node has a replica", || {
            let known = node.known();
            let replica = known.iter().find(|known| known.primary.as_ref() == Some(&node.id) && known.alive);
            found = replica.and_then(|replica| self.nodes.iter().position(|node| node.id == replica.id));
            found.is_some()
        });
        found.unwrap_or_default()
    }

    fn wait_until_all_know(&self, count: usize) {
        wait_until("the nodes know each other", || {
            self.running().all(|node| node.known().iter().filter(|known| known.alive).count() >= count)
        });
    }
}

/// A slot that is being moved.
#[derive(Debug)]
pub struct Move<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Move<'_> {
    /// Moves so many keys at the most; how many it moved.
    pub fn keys(&self, most: usize) -> usize {
        let (from, to) = (self.cluster.server(self.from), self.cluster.server(self.to));
        let keys: Vec<Vec<u8>> = from.tell(&["CLUSTER", "GETKEYSINSLOT", &self.slot, &most.to_string()]);
        for key in &keys {
            let mut command = redis::cmd("MIGRATE");
            command.arg("127.0.0.1").arg(to.port()).arg(key).arg(0).arg(5000);
            command.exec(&mut from.connect()).unwrap_or_else(|error| unreachable!("MIGRATE: {error}"));
        }
        keys.len()
    }

    /// Moves what is left, and makes the other node the owner.
    pub fn finish(self) {
        while self.keys(100) > 0 {}
        self.set(["NODE", &self.cluster.node(self.to).id]);
        wait_until("all know that the slot has moved", || {
            self.cluster.running().all(|node| {
                let moved = self.slot.parse().ok().and_then(|slot| owner(&node.known(), slot));
                moved.as_ref() == Some(&self.cluster.node(self.to).id)
            })
        });
    }

    fn set(&self, words: [&str; 2]) {
        for number in [self.to, self.from] {
            let _: Value =
                self.cluster.server(number).tell(&["CLUSTER", "SETSLOT", &self.slot, words[0], words[1]]);
        }
    }
}

fn slot(node: &Node, key: &str) -> u16 {
    node.server.tell(&["CLUSTER", "KEYSLOT", key])
}

fn owner(known: &[Known], slot: u16) -> Option<String> {
    let owner =
        known.iter().find(|known| known.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot)));
    owner.map(|owner| owner.id.clone())
}
