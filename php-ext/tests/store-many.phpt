--TEST--
Five hundred configurations in one process: few descriptors, few threads, and each works
--SKIPIF--
<?php if (trim((string)shell_exec('command -v redis-server')) === '') die('skip needs redis-server'); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
[$socket] = redis_server();
$directory = fresh_directory();
$descriptors = fn() => count(scandir('/proc/self/fd')) - 2;
$threads = fn() => count(scandir('/proc/self/task')) - 2;
$before = $descriptors();
$open = fn(int $number) => Larder\Store::open(['server' => "redis+unix://$socket", 'namespace' => "site$number"])->cache('c');
// One after the other, as a worker of many sites.
for ($number = 0; $number < 500; $number++) {
    $cache = $open($number);
    same("set $number", [true, [$number]], [$cache->set('k', [$number]), $cache->get('k')]);
    if ($number % 100 === 99) {
        same("descriptors after $number", true, $descriptors() - $before < 150);
    }
}
same('threads', 1, $threads());
foreach ([0, 250, 499] as $number) {
    same("again $number", [$number], $open($number)->get('k'));
}
// All at once.
$caches = array_map($open, range(0, 299));
foreach ($caches as $number => $cache) {
    same("held $number", [$number], $cache->get('k'));
}
same('descriptors of 300 that are held', true, $descriptors() - $before < 150);
foreach ($caches as $number => $cache) {
    same("delete $number", [true, null], [$cache->delete('k'), $cache->get('k')]);
}
unset($cache, $caches);
// A value that is given outlives its store, and a lock keeps its own.
$held = $open(1000);
$held->set('k', ['some' => ['value' => str_repeat('x', 1000)]]);
$value = $held->get('k');
$value = $held->get('k');
same('lock', true, $held->acquireLock('k', 'owner', 20));
unset($held);
for ($number = 0; $number < 100; $number++) {
    $open($number)->set('k', $number);
}
same('value', ['some' => ['value' => str_repeat('x', 1000)]], $value);
same('lock state', true, $open(1000)->lockState('k', 'owner'));
same('release', true, $open(1000)->releaseLock('k', 'owner'));
// Directories.
for ($number = 0; $number < 100; $number++) {
    $cache = Larder\Store::open(['server' => "local:$directory/$number?size=4M"])->cache('c');
    same("local $number", [true, $number], [$cache->set('k', $number), $cache->get('k')]);
    $number === 39 && $at_forty = $descriptors();
}
same('descriptors of directories', true, $descriptors() < $at_forty + 20);
echo "done\n";
?>
--EXPECT--
done
