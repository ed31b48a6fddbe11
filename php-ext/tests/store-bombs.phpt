--TEST--
Entries of some kilobytes that would decode to gigabytes are missing, counted, and cost little memory
--EXTENSIONS--
igbinary
redis
--SKIPIF--
<?php
if (trim((string)shell_exec('command -v redis-server')) === '') die('skip needs redis-server');
if (getenv('USE_ZEND_ALLOC') === '0') die("skip needs PHP's own allocator");
?>
--INI--
memory_limit=64M
--FILE--
<?php
require __DIR__ . '/store.inc';
[$socket] = redis_server();
$redis = new Redis;
$redis->connect($socket);
$open = fn() => Larder\Store::open(['server' => "redis+unix://$socket", 'namespace' => 'bombs', 'compress_from' => 0, 'read_timeout' => 10]);
$cache = $open()->cache('c');
class Plain {
    public $a = 1;
}
$kinds = ['c' => [], 'unlogged' => ['near' => false]];
$hashes = [];
foreach ($kinds as $name => $options) {
    $key = "k of $name";
    $open()->cache($name, $options)->set($key, 'any');
    $found = array_values(array_filter($redis->keys('*'), fn($hash) => $redis->type($hash) === Redis::REDIS_HASH && $redis->hExists($hash, $key)));
    same('one hash', 1, count($found));
    $hashes[$name] = $found[0];
}
/** An LZ4 block of a prefix and a unit that is repeated. */
function compressed(string $head, string $unit, int $times): string {
    $literals = $head . $unit;
    $token = fn(int $literals, int $match) => chr(min($literals, 15) << 4 | min($match, 15));
    $more = fn(int $length) => $length < 15 ? '' : str_repeat("\xff", intdiv($length - 15, 255)) . chr(($length - 15) % 255);
    $match = strlen($unit) * ($times - 1) - 4 - 5;
    $tail = substr(str_repeat($unit, 6), -5);
    $block = $token(strlen($literals), $match) . $more(strlen($literals)) . $literals . pack('v', strlen($unit)) . $more($match)
        . $token(5, 0) . $tail;
    return pack('V', strlen($head) + strlen($unit) * $times) . $block;
}
/** An entry that nobody of ours wrote. */
function entry(string $body, int $flags): string {
    return "\x01" . chr($flags) . strrev(hash('crc32b', "\x01" . chr($flags) . $body, true)) . $body;
}
$plain = fn(string $payload) => entry($payload, 0);
$packed = fn(string $head, string $unit, int $times) => entry(compressed($head, $unit, $times), 4);
$list = fn(int $n) => "\xdd" . pack('N', $n);
$extension = fn(int $length) => "\xc9" . pack('N', $length) . "\x04";
$wide = '';
for ($i = 0; $i < 250; $i++) {
    $wide .= "\xd9\xff" . str_pad("key $i", 255, '.') . "\xc0";
}
$wide = "\xde" . pack('n', 250) . $wide;
$instance = "\xdc" . pack('n', 251) . "\xd4\x02\x00" . str_repeat("\xc0", 250);
$object = fn(string $class) => "\x93\xc7" . chr(strlen($class)) . "\x01$class\xa1a\x01";
$nested = fn(int $length) => implode('', array_map(fn($i) => 'a:' . str_pad((string)max(1, $length - 20 * ($i + 1)), 8, '0', STR_PAD_LEFT) . ':{i:0;', range(0, intdiv($length, 20))));
$text = $nested(80000);
$unit = str_repeat("\x91", 200) . "\xc0";
$bombs = [
    'tables' => $packed($list(60000), $unit, 60000),
    'shapes' => $packed($list(60001) . $wide, $instance, 60000),
    'objects' => $packed($list(6000001) . $object(''), "\x92\xd4\x02\x00\x01", 6000000),
    'empty objects' => $packed($list(6000001) . "\x91\xc7\x00\x01", "\x91\xd4\x02\x00", 6000000),
    'objects of a class' => $packed($list(6000001) . $object('Plain'), "\x92\xd4\x02\x00\x01", 6000000),
    'objects of no class' => $packed($list(3000001) . $object('Missing'), "\x92\xd4\x02\x00\x01", 3000000),
    'keys of no class' => $packed($list(20002) . $object('Missing') . $wide, str_replace("\xd4\x02\x00", "\xd4\x02\x01", $instance), 20000),
    'a string' => $packed("\xdb" . pack('N', 900000000), 'xxxx', 225000000),
    'strings' => $packed($list(2000000), "\xda\x01\x00" . str_repeat('y', 256), 2000000),
    'claimed arrays' => $plain($extension(strlen($text)) . $text),
    'claimed arrays in an object' => $plain($extension(strlen($text) + 26) . 'O:8:"stdClass":1:{s:1:"a";' . $text),
    'serialized arrays' => $packed($extension(9000013 + 8) . 'a:01000000:{', 'i:7;a:0:{}', 900000),
    'serialized tables' => $packed($extension(11 + 14 * 4000000) . 'a:4000000:{', 'i:7;a:1:{i:0;N', 4000000),
    'serialized objects' => $packed($extension(11 + 24 * 3000000) . 'a:3000000:{', 'i:7;O:8:"stdClass":0:{}}', 3000000),
];
$resident = function () {
    preg_match('/VmHWM:\s*(\d+)/', file_get_contents('/proc/self/status'), $most);
    return (int)$most[1] >> 10;
};
$stored = Larder\Store::open(['server' => "redis+unix://$socket", 'namespace' => 'bombs', 'compress_from' => 0, 'code_epoch' => 'other', 'read_timeout' => 10]);
foreach ($bombs as $name => $bomb) {
    foreach ($kinds as $kind => $options) {
        if (strlen($bomb) > 4 << 20) {
            echo "$name: ", strlen($bomb), " bytes\n";
        }
        $redis->hSet($hashes[$kind], 'k', $bomb);
        file_put_contents('/proc/self/clear_refs', '5');
        $before = $resident();
        $cache = $stored->cache($kind, $options);
        $stored->sync();
        $broken = $stored->stats()['broken'];
        // Whatever memory knows is dropped by the write of another.
        $open()->cache('c')->delete('other');
        same("$kind, $name: read", '"missing"', outcome(fn() => $cache->get('k', 'missing')));
        if ($name === 'tables') {
            same('others', ['[]', 'false'], [outcome(fn() => $cache->getMany(['k', 'none'])), outcome(fn() => $cache->has('k'))]);
        }
        $counted = $stored->stats()['broken'] - $broken;
        if ($counted < 1) {
            echo "$kind, $name: not counted\n";
        }
        if ($resident() - $before > 400) {
            echo "$kind, $name: from $before MB to ", $resident(), " MB\n";
        }
        $redis->hDel($hashes[$kind], 'k');
    }
}
// What is large and fits is read.
$cache = $stored->cache('c');
$text = str_repeat('x', 20 << 20);
same('large', [true, true], [$cache->set('k', $text), $cache->get('k') === $text]);
$rows = array_fill(0, 50000, ['id' => 1, 'name' => 'text']);
same('rows', true, $cache->set('k', $rows));
$other = $open();
$other->sync();
same('rows elsewhere', true, $other->cache('c')->get('k') === $rows);
echo "done\n";
?>
--EXPECT--
done
