<?php
$config = ['people' => ['exampleauth:UserPass', 'zoe:from-elsewhere' => ['uid' => ['zoe'], 'Email' => ['zoe@idp.example']]]];
