<?php
// Serves itself with php-fpm as the machine configures it; the page stores a value and reads it.

if (PHP_SAPI === 'cli') {
    require __DIR__ . '/../php/fpm/server.php';
    $server = new Server(1, [], [], []);
    echo $server->requests(__FILE__, [''])[0];
    return;
}
$directory = sys_get_temp_dir() . '/larder-page-' . bin2hex(random_bytes(4));
mkdir($directory, 0700);
$cache = Larder\Store::open(['server' => "local:$directory", 'namespace' => 'page'])->cache('values');
$value = ['id' => 7, 'name' => 'a course'];
echo $cache->set('one', $value) && $cache->get('one') === $value ? 'stored and read' : 'lost';
