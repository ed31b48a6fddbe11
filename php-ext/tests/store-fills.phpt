--TEST--
After a purge one process computes a value, and the others wait for it; signal handlers run meanwhile
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
// Waits are short, and this machine may be slow: several tries.
const TRIES = 10;
const KEYS = ['waits', 'stops', 'many'];

/** What one try is to show. */
function open_cache(string $socket, int $try): Larder\Cache {
    return Larder\Store::open(['server' => "redis+unix://$socket", 'namespace' => "try$try"])->cache('c');
}

function wait_for($stream, string $word): void {
    same('word', $word, trim(fgets($stream)));
}

[$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
$parent = getmypid();
$child = pcntl_fork();
if ($child === 0) {
    pcntl_async_signals(true);
    for ($try = 0; $try < TRIES; $try++) {
        $cache = open_cache($socket, $try);
        wait_for($there, 'stored');
        foreach (KEYS as $key) {
            same('old', 'old', $cache->get($key));
        }
        fwrite($there, "warm\n");
        wait_for($there, 'purged');
        $cache->get('a round trip, which tells of the purge');
        $ran = false;
        pcntl_signal(SIGUSR1, function () use (&$ran, $there) {
            $ran = true;
            fwrite($there, "ran\n");
        });
        fwrite($there, "waits\n");
        $waited = $cache->get('waits');
        if (!$ran) {
            usleep(300000);
        }
        pcntl_signal(SIGUSR1, fn() => throw new Exception('stop'));
        $stopped = null;
        fwrite($there, "stops\n");
        try {
            $stopped = $cache->get('stops', 'nothing');
            usleep(300000);
            $stopped = 'too late';
        } catch (Exception $exception) {
            $stopped ??= $exception->getMessage();
        }
        pcntl_signal(SIGUSR1, SIG_IGN);
        $many = $cache->getMany(['many', 'waits']);
        fwrite($there, json_encode([$waited, $stopped, $many['waits'] ?? null]) . "\n");
    }
    posix_kill(getmypid(), SIGKILL);
}

for ($try = 0; $try < TRIES; $try++) {
    $cache = open_cache($socket, $try);
    foreach (KEYS as $key) {
        $cache->set($key, 'old');
    }
    fwrite($here, "stored\n");
    wait_for($here, 'warm');
    $cache->purge();
    foreach (KEYS as $key) {
        same('purged', null, $cache->get($key));
    }
    fwrite($here, "purged\n");
    wait_for($here, 'waits');
    usleep(20000);
    posix_kill($child, SIGUSR1);
    wait_for($here, 'ran');
    $cache->set('waits', 'new');
    wait_for($here, 'stops');
    usleep(20000);
    posix_kill($child, SIGUSR1);
    $shown = json_decode(fgets($here), true);
    if ($shown === ['new', 'stop', 'new']) {
        break;
    }
}
posix_kill($child, SIGKILL);
pcntl_waitpid($child, $status);
same('the last try', ['new', 'stop', 'new'], $shown);
echo "done\n";
?>
--EXPECT--
done
