Snakepit.Test.LogTap.start()
ExUnit.start(exclude: Snakepit.Test.Node.exclude() ++ Snakepit.Test.Browser.exclude())
