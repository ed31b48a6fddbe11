--TEST--
Processes with other versions of the code do not get each other's objects, but each other's invalidations
--SKIPIF--
<?php if (!function_exists("pcntl_fork")) die("skip needs pcntl"); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
$server = 'local:' . fresh_directory() . '/store?size=64M';
$open = fn($epoch) => Larder\Store::open(['server' => $server, 'code_epoch' => $epoch])->cache('c');
/** A process of the old version. */
$old = function (Closure $what) use ($open): void {
    $pid = pcntl_fork();
    if ($pid === 0) {
        $what($open('1'));
        exit;
    }
    pcntl_waitpid($pid, $status);
};
$old(function ($cache) {
    eval('class Course { public int $id = 1; private array $options = [2]; }');
    same('set by the old version', true, $cache->set('k', new Course));
});
eval('class Course { public string $name = "new"; }');
$cache = $open('2');
same('of the old version', null, $cache->get('k'));
same('set', true, $cache->set('k', new Course));
same('own', 'new', $cache->get('k')->name);
$old(fn($cache) => same('of the new version', null, $cache->get('k')));
$old(fn($cache) => same('deleted', true, $cache->delete('k')));
Larder\Store::open(['server' => $server, 'code_epoch' => '2'])->sync();
same('deleted by the old version', null, $cache->get('k'));
same('bad', "option 'code_epoch'", substr((function () use ($open) {
    try {
        $open("a/b");
    } catch (Larder\ConfigException $e) {
        return $e->getMessage();
    }
})(), 0, 19));
echo "done\n";
?>
--EXPECT--
done
