--TEST--
A process fetches what others hold before it is asked for it
--SKIPIF--
<?php if (!function_exists("pcntl_fork")) die("skip needs pcntl"); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
$server = 'local:' . fresh_directory() . '/store?size=64M';
/** One request of another process. */
$worker = function (Closure $request) use ($server): void {
    $pid = pcntl_fork();
    if ($pid === 0) {
        $request(Larder\Store::open(['server' => $server])->cache('c'));
        exit;
    }
    pcntl_waitpid($pid, $status);
};
$store = Larder\Store::open(['server' => $server]);
same('nobody has listed anything', 0, $store->warm());
$worker(fn($cache) => $cache->setMany(array_map(fn($i) => [$i], range(0, 99))));
$worker(fn($cache) => array_map($cache->get(...), range(0, 99)));
same('warmed', 100, $store->warm());
$cache = $store->cache('c');
$before = $store->stats()['round_trips'];
for ($i = 0; $i < 100; $i++) {
    same("value $i", [$i], $cache->get($i));
}
same('round trips', true, $store->stats()['round_trips'] - $before <= 1);
same('away', 0, Larder\Store::open(['server' => 'redis://127.0.0.1:1'])->warm());
echo "done\n";
?>
--EXPECT--
done
