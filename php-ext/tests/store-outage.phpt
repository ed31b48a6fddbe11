--TEST--
A backend that is away, refuses or is full: reads miss, writes return false, no exception, no warning
--FILE--
<?php
require __DIR__ . '/store.inc';
set_error_handler(function ($number, $message) {
    echo "warned: $message\n";
});
/** What every call answers without a backend. */
function all_away(string $what, Larder\Store $store): void {
    foreach ([true, false] as $near) {
        $cache = $store->cache('c', ['near' => $near]);
        same("$what: reads", [null, 'default', [], false, false, false, []],
            [$cache->get('k'), $cache->get('k', 'default'), $cache->getMany(['a', 'b']), $cache->has('k'), $cache->hasAny(['k']),
            $cache->hasAll(['k']), $cache->keys()]);
        same("$what: writes", [false, 0, false, 0, false, false],
            [$cache->set('k', 1), $cache->setMany(['a' => 1, 'b' => 2]), $cache->delete('k'), $cache->deleteMany(['k']), $cache->purge(), $store->purge()]);
        echo "$what: misuse ", outcome(fn() => $cache->set('k', fn() => 1)), "\n";
    }
    same("$what: sync", null, $store->sync());
    $health = $store->health();
    same("$what: health", [false, true, []], [$health['reachable'], $health['reason'] !== '', $health['facts']]);
    $wrong = $store->reach();
    same("$what: reach", true, ($wrong['error'] ?? '') !== '' && is_string($wrong['advice']));
    same("$what: no secret", false, str_contains(json_encode([$health, $wrong]), 'sesame'));
    same("$what: counted", true, $store->stats()['errors'] > 0);
}
$directory = fresh_directory();
file_put_contents("$directory/file", 'not a directory');
mkdir("$directory/foreign");
file_put_contents("$directory/foreign/letter.txt", 'mine');
mkdir("$directory/open");
chmod("$directory/open", 0777);
mkdir("$directory/garbage", 0700);
file_put_contents("$directory/garbage/data.mdb", random_bytes(8192));
$closed = stream_socket_server('tcp://127.0.0.1:0');
$port = parse_url('tcp://' . stream_socket_get_name($closed, false), PHP_URL_PORT);
fclose($closed);
foreach ([
    'nobody listens' => "redis://127.0.0.1:$port",
    'no socket' => "redis+unix://$directory/none.sock",
    'file in the way' => "local:$directory/file/store",
    'a file' => "local:$directory/file",
    'foreign files' => "local:$directory/foreign",
    'no directory at all' => 'local:/proc/self/none/store',
    'foreign data' => "local:$directory/garbage",
] as $what => $server) {
    all_away($what, Larder\Store::open(['server' => $server, 'connect_timeout' => 0.2, 'password' => str_starts_with($server, 'redis') ? 'sesame' : '']));
}
same('left alone', 'mine', file_get_contents("$directory/foreign/letter.txt"));
same('no data added', false, file_exists("$directory/foreign/data.mdb"));
// Full: the oldest go, never an error.
$cache = Larder\Store::open(['server' => "local:$directory/full?size=4M", 'near_bytes' => 0])->cache('c');
for ($i = 0; $i < 500; $i++) {
    same("set $i", [true, $i], [$cache->set("k$i", [$i, random_bytes(50000)]), $cache->get("k$i")[0]]);
}
same('evicted', true, !$cache->has('k0') && $cache->has('k499'));
if (trim((string)shell_exec('command -v redis-server')) !== '') {
    [$socket, $server] = redis_server('--requirepass', 'right');
    all_away('no password', Larder\Store::open(['server' => "redis+unix://$socket"]));
    all_away('wrong password', Larder\Store::open(['server' => "redis+unix://$socket", 'password' => 'sesame']));
    $store = Larder\Store::open(['server' => "redis+unix://$socket", 'password' => 'right']);
    $cache = $store->cache('c');
    $cache->set('k', [1]);
    same('right password', [1], $cache->get('k'));
    $held = $cache->get('k');
    proc_terminate($server, SIGKILL);
    usleep(200000);
    $store->sync();
    all_away('gone', $store);
    same('held', [1], $held);
} else {
    foreach (['no password', 'no password', 'wrong password', 'wrong password', 'gone', 'gone'] as $what) {
        echo "$what: misuse Larder\ValueException: Serialization of 'Closure' is not allowed\n";
    }
}
echo "done\n";
?>
--EXPECT--
nobody listens: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
nobody listens: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no socket: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no socket: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
file in the way: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
file in the way: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
a file: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
a file: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
foreign files: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
foreign files: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no directory at all: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no directory at all: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
foreign data: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
foreign data: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no password: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
no password: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
wrong password: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
wrong password: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
gone: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
gone: misuse Larder\ValueException: Serialization of 'Closure' is not allowed
done
