--TEST--
A signal that PHP blocked waits for PHP: no thread of the extension takes it
--EXTENSIONS--
pcntl
posix
--SKIPIF--
<?php
if (trim((string)shell_exec('command -v redis-server')) === '') die('skip needs redis-server');
?>
--FILE--
<?php
require __DIR__ . '/store.inc';
[$socket] = redis_server();
$directory = fresh_directory();
mkdir("$directory/d", 0700);
mkdir("$directory/f", 0700);
$servers = [
    ['server' => "redis+unix://$socket"],
    ['server' => "redis+unix://$socket", 'namespace' => 'f', 'fallback' => "dir:$directory/f"],
    ['server' => "redis+unix://$socket", 'namespace' => 'n', 'node_tier' => "local:$directory/n?size=64M"],
    ['server' => "local:$directory/l?size=64M"],
    ['server' => "dir:$directory/d?size=64M"],
];
foreach ($servers as $options) {
    $store = Larder\Store::open($options + ['lock_lease' => 1, 'read_timeout' => 10]);
    $cache = $store->cache('c');
    same('set', [true, 1], [$cache->set('k', 1), $cache->get('k')]);
    // Its lease is renewed by a thread.
    same('lock', true, $cache->acquireLock('k', 'owner', 10));
    pcntl_sigprocmask(SIG_BLOCK, [SIGTERM, SIGUSR1]);
    foreach ([SIGTERM, SIGUSR1] as $signal) {
        posix_kill(getmypid(), $signal);
        usleep(20000);
        same('get', 1, $cache->get('k'));
        same("signal $signal", $signal, pcntl_sigtimedwait([$signal], $info, 5));
    }
    pcntl_sigprocmask(SIG_UNBLOCK, [SIGTERM, SIGUSR1]);
    same('release', true, $cache->releaseLock('k', 'owner'));
}
echo "done\n";
?>
--EXPECT--
done
