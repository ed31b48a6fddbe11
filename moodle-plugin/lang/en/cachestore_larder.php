<?php
// This file is part of Moodle - http://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <http://www.gnu.org/licenses/>.

/**
 * English strings of the Larder cache store.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

defined('MOODLE_INTERNAL') || die();

$string['ca_file'] = 'CA file';
$string['ca_file_help'] = 'File with the certificates (PEM) that may sign the server\'s certificate, for TLS. Empty: the system\'s certificates. The server\'s certificate is always verified.';
$string['cert_file'] = 'Client certificate';
$string['cert_file_help'] = 'File with the certificate (PEM) that this site shows to the server, if the server asks for one; certificates between it and its authority follow in the file. It is read again when it changes.';
$string['chart_changes'] = 'What changed';
$string['chart_definitions'] = 'Definitions that are read most';
$string['chart_hits'] = 'Reads that found a value (%)';
$string['chart_network'] = 'On the network, each request';
$string['chart_requests'] = 'Requests and errors';
$string['chart_waits'] = 'Waiting, each request (milliseconds)';
$string['checkbackend'] = 'Larder: servers';
$string['checkbackend_command'] = 'On the command line, as the user that PHP runs as: {$a}';
$string['checkbackend_differing'] = 'Web nodes have different configurations of Larder: {$a}.';
$string['checkbackend_differing_details'] = '<p>All nodes must have the same options. Compare config.php, the extension\'s settings in php.ini and the version of Moodle\'s code on these nodes with the others.</p>';
$string['checkbackend_fallback'] = 'The fallback serves while the server is away: {$a}.';
$string['checkbackend_fallback_details'] = '<p>Pages work, and what is changed meanwhile is kept for the server. Bring the server back: as soon as it answers and knows the changes that wait, it serves again. Run <code>larder doctor</code> on this node to see what is wrong with it.</p>';
$string['checkbackend_none'] = 'No usable Larder instance is configured.';
$string['checkbackend_ok'] = 'The servers of all Larder instances answer this node.';
$string['checkbackend_refusing'] = 'The server refuses changes, so this node does not serve what they are about: {$a}.';
$string['checkbackend_refusing_details'] = '<p>Pages work meanwhile, some of them slowly. Let the server take changes again: what it refused is then deleted first. Run <code>larder doctor</code> on this node to see why it refuses.</p>';
$string['checkbackend_since'] = 'since {$a}';
$string['checkbackend_tier'] = 'Served by';
$string['checkbackend_tier_fallback'] = 'the fallback';
$string['checkbackend_tier_none'] = 'nothing';
$string['checkbackend_tier_primary'] = 'the server';
$string['checkbackend_unreachable'] = 'Nothing is cached, because this node cannot use the server: {$a}.';
$string['checkbackend_unreachable_details'] = '<p>Pages work meanwhile, but slowly. Run <code>larder doctor</code> on this node to see what is wrong and how to mend it. A fallback, if none is configured, would serve in such a time.</p>';
$string['checkbackend_waiting'] = 'Changes that the server has not been told yet';
$string['checkdirectories'] = 'Larder: directories for caches';
$string['checkdirectories_cachedir'] = 'In $CFG->cachedir ({$a}), which all nodes must share';
$string['checkdirectories_files'] = '{$a} definitions are still cached in files below $CFG->cachedir.';
$string['checkdirectories_files_details'] = '<p>Map them to Larder; <code>cli/migrate.php</code> of this plugin says how, and why.</p>';
$string['checkdirectories_local'] = '$CFG->localcachedir is on a network filesystem ({$a}).';
$string['checkdirectories_local_details'] = '<p>It is for files that each node makes for itself. Set it to a directory on the disk of the node, in config.php.</p>';
$string['checkdirectories_localcachedir'] = 'In $CFG->localcachedir ({$a}), which each node has for itself';
$string['checkdirectories_locks'] = 'Locks of tasks are files, on a network filesystem ({$a}).';
$string['checkdirectories_locks_details'] = '<p>Set <code>$CFG->lock_factory = \'\\cachestore_larder\\lock\\factory\'</code> in config.php, and Larder keeps them.</p>';
$string['checkdirectories_nothing'] = 'nothing';
$string['checkdirectories_ok'] = 'What is left in $CFG->cachedir and $CFG->localcachedir belongs there.';
$string['checkrequirements'] = 'Larder: requirements';
$string['checkrequirements_badconfiguration'] = 'Larder refuses the configuration of an instance. This node uses its own files instead, where changes made on other nodes never arrive.';
$string['checkrequirements_noextension'] = 'The PHP extension "larder" is not loaded.';
$string['checkrequirements_noextension_details'] = '<p>Install the extension on this node, add <code>extension=larder</code> to php.ini for the web server and for the command line, and restart PHP. Until then a node with a configured Larder instance uses its own files instead, where changes made on other nodes never arrive.</p>';
$string['checkrequirements_ok'] = 'Version {$a} of the PHP extension is loaded and accepts the configuration.';
$string['checksessions'] = 'Larder: sessions';
$string['checksessions_evicted'] = 'The server may evict sessions (maxmemory-policy {$a}).';
$string['checksessions_evicted_details'] = '<p>Users are logged out then. Set maxmemory-policy to volatile-lru: a full server drops caches that can be filled again, and no session.</p>';
$string['checksessions_full'] = 'A server that is full refuses sessions (maxmemory-policy {$a}).';
$string['checksessions_none'] = 'Sessions are kept by {$a}.';
$string['checksessions_ok'] = 'The server for sessions answers this node.';
$string['checksessions_unreachable'] = 'Nobody can log in, because this node cannot use the server for sessions: {$a}.';
$string['compress_from'] = 'Compress entries from';
$string['compress_from_help'] = 'Size from which entries are compressed when that makes them smaller, for instance 16K, which is the default. 0: never.';
$string['connect_timeout'] = 'Connect timeout (seconds)';
$string['connect_timeout_help'] = 'Seconds to wait for a connection to the server. Default: 0.25.';
$string['connection_eviction'] = 'But it may evict Larder\'s change log and sessions (maxmemory-policy {$a}): set maxmemory-policy to volatile-lru.';
$string['connection_ok'] = 'can be used.';
$string['connection_redis'] = 'version {$a} answers.';
$string['count_deletes'] = 'Deletes';
$string['count_errors'] = 'Failed calls';
$string['count_fromnode'] = 'From the memory of the process (%)';
$string['count_hitrate'] = 'Found (%)';
$string['count_hits'] = 'From the server';
$string['count_kilobytes'] = 'Kilobytes';
$string['count_locktime'] = 'For locks';
$string['count_misses'] = 'Not found';
$string['count_near_hits'] = 'From memory';
$string['count_purges'] = 'Purges';
$string['count_requests'] = 'Requests';
$string['count_roundtrips'] = 'Round trips';
$string['count_sets'] = 'Sets';
$string['count_storetime'] = 'For the server';
$string['doomeddirectory'] = 'Moodle deletes the content of {$a} while it runs. Choose a directory outside of it.';
$string['event_cache_purged'] = 'Larder cache purged';
$string['fallback'] = 'Fallback';
$string['fallback_help'] = 'What serves while a Redis server is away:

* dir:/path?size=4G – a directory that all web nodes share
* local:/path?size=1G – a directory on the disk of the only web node

Cron and scripts count as web nodes if they run elsewhere. Empty: nothing is cached while the server is away.

The directory must lie outside of those that Moodle deletes when it purges caches.';
$string['forced'] = 'This is set in config.php ($CFG->larder). Change it there, on every web node.';
$string['forgetsecrets'] = 'Remove secrets';
$string['forgetsecrets_help'] = 'Removes the stored passwords and seal keys, unless new ones are entered.';
$string['header_fallback'] = 'Fallback and node tier';
$string['header_locks'] = 'Locks';
$string['header_security'] = 'Separation and security';
$string['header_server'] = 'Server';
$string['header_speed'] = 'Memory and timeouts';
$string['key_file'] = 'Client key';
$string['key_file_help'] = 'File with the key (PEM) of the client certificate.';
$string['lock_lease'] = 'Lock lease (seconds)';
$string['lock_lease_help'] = 'Seconds after which the locks of a process that died are free. A living process keeps its locks for as long as it works. Default: 10.';
$string['lock_wait'] = 'Lock wait (seconds)';
$string['lock_wait_help'] = 'Seconds to wait for a lock before giving up. Default: 60.';
$string['max_staleness'] = 'Maximum staleness (seconds)';
$string['max_staleness_help'] = 'Seconds after which a long-running process asks the server for changes again. Each request asks when it starts. Default: 1. 0: before every read.';
$string['namespace'] = 'Namespace';
$string['namespace_help'] = 'Keeps sites on one server apart. Empty: a name made from the database\'s host and name and the table prefix, which is right unless several sites shall share their caches.';
$string['near_bytes'] = 'Near cache size of a process';
$string['near_bytes_help'] = 'Memory for decoded values in each PHP process, for instance 32M, which is the default.';
$string['node_tier'] = 'Node tier';
$string['node_tier_help'] = 'A directory on the disk of each web node, as local:/path?size=1G, where the node\'s PHP processes share what one of them fetched from the server. Worth it where the server is a shared directory or far away. Empty: none.

The directory must lie outside of those that Moodle deletes when it purges caches.';
$string['notready'] = 'The Larder instance "{$a->name}" cannot be used: {$a->problem}. This node uses its own files instead, where changes made on other nodes never arrive.';
$string['password'] = 'Password';
$string['password_file'] = 'Password file';
$string['password_file_help'] = 'File on each web node whose first line is the password for the server, instead of a password that is kept in Moodle. It is read for each new connection, so that the password may change.';
$string['password_help'] = 'Password for the server. The stored one is not shown; it stays when this is left empty.';
$string['pluginname'] = 'Larder';
$string['privacy:metadata:larder'] = 'The Larder cache store keeps cached data on the servers or in the directories that are configured for it.';
$string['privacy:metadata:larder:data'] = 'Copies of whatever data Moodle caches, and the sessions of users where they are kept there, which can include personal data.';
$string['read_timeout'] = 'Read timeout (seconds)';
$string['read_timeout_help'] = 'Seconds to wait for an answer of the server. Default: 0.5.';
$string['report'] = 'Larder: servers, figures and purges';
$string['report_choose_instance'] = 'Instance';
$string['report_choose_node'] = 'Node';
$string['report_choose_period'] = 'Period';
$string['report_clock'] = 'Clock ahead (s)';
$string['report_commands'] = 'Commands';
$string['report_configuration'] = 'Configuration';
$string['report_corestore'] = 'A command for each call, as Moodle\'s Redis store does';
$string['report_cost'] = 'What a request costs on the network';
$string['report_cost_note'] = 'Dollars at {$a} dollars for a million ECPU, the price of Amazon ElastiCache Serverless for Valkey in US East (N. Virginia) in June 2026: at least one ECPU for each command, and here one more for each kilobyte of Larder\'s. Storage is charged beside that.';
$string['report_day'] = 'Last day';
$string['report_definition'] = 'Definition';
$string['report_definitions'] = 'Definitions';
$string['report_details'] = 'Details';
$string['report_differs'] = 'differs from the other nodes: {$a}';
$string['report_dollars'] = 'Dollars for a million requests';
$string['report_each'] = 'Memory of a process';
$string['report_hour'] = 'Last hour';
$string['report_live'] = 'Refresh every 30 seconds';
$string['report_memory'] = 'Memory of all processes';
$string['report_node'] = 'Node';
$string['report_nodes'] = 'Nodes';
$string['report_nofigures'] = 'No node has told figures yet, or the server is away.';
$string['report_nothing'] = 'Nobody has purged anything yet.';
$string['report_processes'] = 'Processes';
$string['report_purges'] = 'Who purged';
$string['report_reads'] = 'Reads';
$string['report_seen'] = 'Last seen, ago';
$string['report_unused'] = 'Nothing was done in this time.';
$string['requestcost'] = 'Larder: {$a->roundtrips} round trips, {$a->bytes} bytes, {$a->store} ms waiting for the server, {$a->locks} ms for locks';
$string['seal_key'] = 'Seal key';
$string['seal_key_help'] = 'A secret of 16 characters or more that all web nodes share. With it every entry carries a keyed hash, and entries that somebody else wrote to the server are ignored. The stored one is not shown; it stays when this is left empty.';
$string['seal_key_previous'] = 'Previous seal key';
$string['seal_key_previous_help'] = 'For a change of the seal key without a cold start: entries sealed with this key are read, too. Enter the new key here first, and swap the two once all web nodes have it. The stored one is not shown; it stays when this is left empty.';
$string['sentinel_password'] = 'Password of the sentinels';
$string['sentinel_password_help'] = 'Password for the sentinels, which have credentials of their own. The stored one is not shown; it stays when this is left empty.';
$string['sentinel_username'] = 'User name of the sentinels';
$string['sentinel_username_help'] = 'User name for the sentinels, if they have access control lists.';
$string['server'] = 'Server URL';
$string['server_help'] = 'Where entries are kept:

* redis://host:port/database – a Redis server
* rediss://host:port – the same over TLS
* redis+unix:///path – a Redis server behind a socket
* redis-sentinel://host,host,host/service – the primary that sentinels name; rediss-sentinel:// for TLS
* redis-cluster://host,host,host – a Redis cluster; rediss-cluster:// for TLS
* dir:/path?size=4G – a directory that all web nodes share, which takes no more than this size
* local:/path?size=1G – a directory on the disk of a single web node, likewise

Enter the password below: one in the URL can be read by everybody who sees this page.

A directory must lie outside of those that Moodle deletes when it purges caches.';
$string['serverdatabase'] = 'Database number';
$string['serverdatabase_help'] = 'Number of the database in the Redis server. Empty: 0.';
$string['serverhost'] = 'Host and port';
$string['serverhost_help'] = 'Name or address of the Redis server, with a colon and the port if that is not 6379. An IPv6 address stands in brackets.';
$string['serverhosts'] = 'Hosts and ports';
$string['serverhosts_help'] = 'Names or addresses with commas between them, each with a colon and the port if that is not 26379 for a sentinel or 6379 for a node of a cluster. Give all sentinels, or several nodes: any of them tells where the entries are.';
$string['serverkind'] = 'Kind of server';
$string['serverkind_cluster'] = 'Redis Cluster';
$string['serverkind_clustertls'] = 'Redis Cluster over TLS';
$string['serverkind_dir'] = 'Directory that all web nodes share (NFS, EFS)';
$string['serverkind_help'] = 'What keeps the entries. Several web nodes need a Redis server or a shared directory. A directory must lie outside of those that Moodle deletes when it purges caches.';
$string['serverkind_local'] = 'Directory on the disk of the only web node';
$string['serverkind_redis'] = 'Redis';
$string['serverkind_rediss'] = 'Redis over TLS';
$string['serverkind_sentinel'] = 'Redis Sentinel';
$string['serverkind_sentineltls'] = 'Redis Sentinel over TLS';
$string['serverkind_unix'] = 'Redis behind a Unix socket';
$string['serverkind_url'] = 'Other: enter the URL';
$string['serverpath'] = 'Path';
$string['serverpath_help'] = 'The absolute path of the directory, or of the socket. A directory must belong to the user that PHP runs as.';
$string['serverservice'] = 'Service';
$string['serverservice_help'] = 'The name under which the sentinels know the server.';
$string['serversize'] = 'Size limit';
$string['serversize_help'] = 'The most room that the directory takes, for instance 4G.';
$string['task_raise_events'] = 'Raise events for purges';
$string['testconnection'] = 'Test connection';
$string['tls_server_name'] = 'Name in the certificate';
$string['tls_server_name_help'] = 'The host name that the server\'s certificate must have, for TLS. Empty: the name or address that the connection is made to.';
$string['username'] = 'User name';
$string['username_help'] = 'User name for the server, if it has access control lists.';
