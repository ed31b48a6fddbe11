--TEST--
Store::statistics(): what all processes of a node did, however they ended, and what another node is told of it
--EXTENSIONS--
pcntl
posix
--SKIPIF--
<?php if (!function_exists('larder_probe_next_request')) die('skip needs the probe'); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
$directory = fresh_directory();
$server = "local:$directory/store?size=64M";
/** Makes a node: a directory for what its processes share. */
$node = function (string $name) use ($directory): void {
    mkdir("$directory/$name", 0700);
    putenv('XDG_RUNTIME_DIR');
    putenv("TMPDIR=$directory/$name");
};
/** Runs $work in a process; what it returns. */
$process = function (Closure $work) use ($directory, $server): mixed {
    $pid = pcntl_fork();
    if ($pid === 0) {
        $answer = $work(Larder\Store::open(['server' => $server, 'seal_key' => 'a secret of the site']));
        file_put_contents("$directory/answer", serialize($answer));
        exit;
    }
    pcntl_waitpid($pid, $status);
    return unserialize(file_get_contents("$directory/answer"));
};
$statistics = fn() => $process(fn($store) => $store->statistics());
$of = fn(array $sample, string ...$names) => array_map(fn($name) => $sample[$name], $names);
$node('first');
same('nobody did anything', [], $statistics());
$process(function ($store) {
    $one = $store->cache('one');
    $one->set('k', 1);
    $one->get('k');
    larder_probe_next_request();
    $one->getMany(['k', 'missing']);
    $store->cache('two', ['near' => false])->get('k');
    larder_probe_next_request();
    // Nothing: no request.
});
$process(function ($store) {
    $store->cache('one')->delete('k');
    larder_probe_next_request();
    $one = $store->cache('one');
    $one->purge();
    $one->acquireLock('lock', 'me', 1.0);
    $one->releaseLock('lock', 'me');
    larder_probe_next_request();
    posix_kill(getmypid(), SIGKILL);
});
$process(function ($store) {
    $one = $store->cache('one');
    $one->get('k');
    larder_probe_next_request();
    // What a child did before its first request ended is its parent's.
    $pid = pcntl_fork();
    $one->get('k');
    larder_probe_next_request();
    $one->get('k');
    $pid && pcntl_waitpid($pid, $status);
});
$nodes = $statistics();
same('one node', [gethostname()], array_keys($nodes));
$known = $nodes[gethostname()];
$total = $known['total'];
// One asked for the statistics.
same('requests', [9], $of($total, 'requests'));
same('reads', [2, 0, 6], $of($total, 'near_hits', 'hits', 'misses'));
same('writes', [1, 1, 1], $of($total, 'sets', 'deletes', 'purges'));
same('times', true, $total['store_us'] > 0 && $total['lock_us'] > 0 && $total['round_trips'] > 8);
same('by cache', ['one', 'two'], array_keys($total['caches']));
same('of two', ['near_hits' => 0, 'hits' => 0, 'misses' => 1, 'sets' => 0, 'deletes' => 0, 'purges' => 0], $total['caches']['two']);
same('alive', [0, 0], $of($known, 'processes', 'near_bytes'));
same('who', ['primary', '', 'set', 8], [...$of($known, 'tier', 'reason'), $known['options']['seal_key'], strlen($known['configuration'])]);
same('version', phpversion('larder'), $known['version']);
same('clock', true, abs($known['clock_ahead']) < 1 && abs($known['seen'] - time()) < 3);
foreach (['minutes', 'hours'] as $samples) {
    same($samples, 9, array_sum(array_column($known[$samples], 'requests')));
    same("$samples by cache", 5, array_sum(array_map(fn($sample) => $sample['caches']['one']['misses'] ?? 0, $known[$samples])));
}
same('no secrets', false, str_contains(print_r($nodes, true), 'a secret'));

// A minute has passed, as far as the node's file says.
[$file] = glob("$directory/first/larder-*/counts-*");
$handle = fopen($file, 'r+');
fseek($handle, 40);
fwrite($handle, pack('P', (int)(1000 * (float)file_get_contents('/proc/uptime'))));
fclose($handle);
$process(fn($store) => $store->cache('one')->get('k'));
$node('second');
$told = $statistics();
same('told', [11, $known['configuration']], [$told[gethostname()]['total']['requests'], $told[gethostname()]['configuration']]);
same('purged', true, $process(fn($store) => $store->purge()));
same('kept', true, $statistics()[gethostname()]['total']['requests'] >= 11);
echo "done\n";
?>
--EXPECT--
done
