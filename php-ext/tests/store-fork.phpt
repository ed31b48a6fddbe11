--TEST--
pcntl_fork before and after the first use: parent and children share the store, and nobody's connection
--EXTENSIONS--
pcntl
posix
--FILE--
<?php
require __DIR__ . '/store.inc';
/** Runs $work in a child and waits for it. */
function in_child(Closure $work): void {
    $pid = pcntl_fork();
    if ($pid === 0) {
        $work();
        exit(0);
    }
    pcntl_waitpid($pid, $status);
    same('child', true, pcntl_wifexited($status) && pcntl_wexitstatus($status) === 0);
}
$servers = ['local:' . fresh_directory() . '/store'];
if (trim((string)shell_exec('command -v redis-server')) !== '') {
    $servers[] = 'redis+unix://' . redis_server()[0];
}
foreach ($servers as $server) {
    // Before the first use.
    $store = Larder\Store::open(['server' => $server]);
    $cache = $store->cache('c');
    in_child(fn() => same('child', [null, true, 'child'], [$cache->get('k'), $cache->set('k', 'child'), $cache->get('k')]));
    same('parent', 'child', $cache->get('k'));
    // After it.
    $rows = fn($who) => array_map(fn($i) => ['id' => $i, 'by' => $who], range(1, 50));
    $cache->set('rows', $rows('parent'));
    $held = $cache->get('rows');
    in_child(function () use ($cache, $store, $held, $rows) {
        same('inherited', $rows('parent'), $cache->get('rows'));
        same('set', true, $cache->set('rows', $rows('child')));
        same('own', $rows('child'), $cache->get('rows'));
        same('held', $rows('parent'), $held);
        in_child(fn() => same('grandchild', [$rows('child'), true], [$cache->get('rows'), $cache->delete('k')]));
        $store->sync();
        same('of the grandchild', null, $cache->get('k'));
    });
    $store->sync();
    same('of the child', $rows('child'), $cache->get('rows'));
    same('held', $rows('parent'), $held);
    // At once, all in the same connection if it were shared.
    $pids = [];
    foreach (range(1, 4) as $child) {
        $pids[] = $pid = pcntl_fork();
        if ($pid === 0) {
            for ($i = 0; $i < 300; $i++) {
                $cache->set("of $child", [$child, $i]);
                $store->sync();
                same('own', [$child, $i], $cache->get("of $child"));
                $other = mt_rand(1, 4);
                same('of its writer', $other, $cache->get("of $other", [$other])[0]);
                $i % 100 === 99 && $cache->getMany(['rows', "of $child", 'none']);
            }
            exit(0);
        }
    }
    for ($i = 0; $i < 300; $i++) {
        $cache->set('of parent', $i);
        same('parent', $i, $cache->get('of parent'));
    }
    foreach ($pids as $pid) {
        pcntl_waitpid($pid, $status);
        same('status', 0, $status);
    }
    $store->sync();
    same('last', [[1, 299], [4, 299]], [$cache->get('of 1'), $cache->get('of 4')]);
    // A child that is killed with everything open.
    $pid = pcntl_fork();
    if ($pid === 0) {
        $cache->set('killed', 1);
        posix_kill(getmypid(), SIGKILL);
    }
    pcntl_waitpid($pid, $status);
    $store->sync();
    same('of the killed', [1, true, 2], [$cache->get('killed'), $cache->set('killed', 2), $cache->get('killed')]);
    same('no errors', [0, 0], [$store->stats()['errors'], $store->stats()['broken']]);
}
echo "done\n";
?>
--EXPECT--
done
