--TEST--
Two stores on one place that differ in an option read each other's writes, also in a forked child
--FILE--
<?php
require __DIR__ . '/store.inc';
$servers = ['local:' . fresh_directory() . '/store'];
if (trim((string)shell_exec('command -v redis-server')) !== '') {
    $servers[] = 'redis+unix://' . redis_server()[0];
}
foreach ($servers as $server) {
    $place = ['server' => $server, 'namespace' => 'site', 'max_staleness' => 1000];
    $open = fn(array $options) => Larder\Store::open($options + $place);
    $one = $open([])->cache('c');
    $others = [['near_bytes' => '1M'], ['read_timeout' => 2], ['connect_timeout' => 1], ['max_staleness' => 500],
        ['compress_from' => 0], ['lock_lease' => 5], ['lock_wait' => 1]];
    foreach ($others as $options) {
        $other = $open($options)->cache('c');
        $name = key($options);
        foreach ([[$one, $other], [$other, $one]] as [$writer, $reader]) {
            foreach ([1, [2, (object)['n' => 2]]] as $value) {
                same("$name: set", true, $writer->set('k', $value));
                same("$name: get", serialize($value), serialize($reader->get('k')));
            }
            same("$name: delete", [true, null], [$writer->delete('k'), $reader->get('k')]);
            $writer->set('k', 3);
            same("$name: getMany", ['k' => 3], $reader->getMany(['k']));
            same("$name: purge", [true, false], [$writer->purge(), $reader->has('k')]);
        }
    }
    // A budget is that of the largest.
    same('limit', [64 << 20, 64 << 20], [$open(['near_bytes' => '64M'])->stats()['near_limit'], $open([])->stats()['near_limit']]);
    // Another place is another memory.
    $elsewhere = $open(['namespace' => 'elsewhere'])->cache('c');
    $one->set('k', 'here');
    same('elsewhere', null, $elsewhere->get('k'));
    if (!function_exists('pcntl_fork')) {
        continue;
    }
    $one->set('k', 'parent');
    $pid = pcntl_fork();
    if ($pid === 0) {
        $new = $open(['near_bytes' => '2M'])->cache('c');
        $new->set('k', 'child');
        same('in the child', ['child', 'child'], [$one->get('k'), $other->get('k')]);
        $other->delete('gone');
        exit(0);
    }
    pcntl_waitpid($pid, $status);
    same('child', 0, $status);
    same('still', 'parent', $one->get('k'));
    $open(['near_bytes' => '3M'])->sync();
    same('of the child', ['child', 'child'], [$one->get('k'), $other->get('k')]);
}
echo "done\n";
?>
--EXPECT--
done
