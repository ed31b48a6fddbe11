--TEST--
Entries that nobody of ours wrote, that are cut off, newer or another's: read as missing, and overwritten
--EXTENSIONS--
igbinary
redis
--SKIPIF--
<?php
if (trim((string)shell_exec('command -v redis-server')) === '') die('skip needs redis-server');
?>
--FILE--
<?php
require __DIR__ . '/store.inc';
set_error_handler(function ($number, $message) {
    echo "warned: $message\n";
});
mt_srand((int)(getenv('LARDER_SEED') ?: 1));
[$socket] = redis_server();
$redis = new Redis;
$redis->connect($socket);
// Stores of one epoch share their memory.
$open = fn($near_bytes, $epoch) => Larder\Store::open(['server' => "redis+unix://$socket", 'namespace' => 'plant',
    'near_bytes' => $near_bytes, 'code_epoch' => $epoch]);
foreach ([true, false] as $near) {
    $writer = $open('8M', '')->cache($near ? 'near' : 'far', ['near' => $near]);
    $values = ['array' => [1, 'two' => ['x' => 2.5]], 'object' => [(object)['a' => 1], new ArrayObject([1])], 'text' => str_repeat('text ', 2000),
        'number' => 5, 'dead' => unserialize('O:4:"Gone":1:{s:1:"a";i:1;}')];
    foreach ($values as $name => $value) {
        $writer->set($name, $value);
    }
    $hashes = array_filter($redis->keys('*'), fn($key) => $redis->type($key) === Redis::REDIS_HASH && $redis->hExists($key, 'array'));
    same('one hash', 1, count($hashes));
    $hash = reset($hashes);
    // A process that has nothing of it in memory.
    $number = 0;
    $read = function (string $what, string $bytes, string $name) use (&$number, $near, $open, $redis, $hash, $values) {
        $cache = $open(0, 'reader')->cache($near ? 'near' : 'far', ['near' => $near]);
        $redis->hSet($hash, $name, $bytes);
        try {
            $found = $cache->get($name, 'missing');
            $many = $cache->getMany([$name, 'none']);
            $has = $cache->has($name);
        } catch (Throwable $thrown) {
            echo "$what: ", get_class($thrown), ' ', $thrown->getMessage(), "\n";
            return;
        }
        same("$what: many", serialize($found === 'missing' ? [] : [$name => $found]), serialize($many));
        if ($found !== 'missing' && serialize($found) !== serialize($values[$name])) {
            echo "$what: read as ", substr(serialize($found), 0, 100), "\n";
        }
        same("$what: overwritten", [true, 1, true], [$cache->set($name, 1), $cache->get($name), $cache->delete($name)]);
    };
    foreach (array_keys($values) as $name) {
        $entry = $redis->hGet($hash, $name);
        for ($length = 0; $length < min(60, strlen($entry)); $length++) {
            $read("$name cut to $length", substr($entry, 0, $length), $name);
        }
        $read("$name cut by one", substr($entry, 0, -1), $name);
        for ($at = 0; $at < min(24, strlen($entry)); $at++) {
            foreach ([0x01, 0x80, 0xff] as $bits) {
                $damaged = $entry;
                $damaged[$at] = chr(ord($damaged[$at]) ^ $bits);
                $read("$name with bits $bits of byte $at", $damaged, $name);
            }
        }
        for ($time = 0; $time < 50; $time++) {
            $damaged = $entry;
            $damaged[mt_rand(0, strlen($entry) - 1)] = chr(mt_rand(0, 255));
            $read("$name damaged", $damaged, $name);
        }
        foreach (["\0", "\xff", 'garbage', str_repeat("\xdf\xff\xff\xff\xff", 100), str_repeat("\x91", 100000), random_bytes(5000), serialize($values[$name])] as $bytes) {
            $read("$name as garbage", $bytes, $name);
        }
    }
    // The hash itself is no hash.
    $redis->del($hash);
    $redis->set($hash, 'a string');
    $cache = $open(0, 'reader')->cache($near ? 'near' : 'far', ['near' => $near]);
    show(['wrong type' => fn() => [$cache->get('array', 'missing'), $cache->getMany(['array']), $cache->has('array'), $cache->keys()]]);
    same('purge of all', [true, true, 1], [$open(0, 'reader')->purge(), $cache->set('array', 1), $cache->get('array')]);
    $cache->purge();
}
echo "done\n";
?>
--EXPECT--
wrong type: ["missing",[],false,[]]
wrong type: ["missing",[],false,[]]
done
