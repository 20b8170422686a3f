// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChannelEscrow} from "../src/ChannelEscrow.sol";
import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {ChannelEscrowFixture} from "./support/ChannelEscrowFixture.sol";
import {ContractWallet} from "./support/ChannelEscrowMocks.sol";
import {MockToken} from "./support/Tokens.sol";

/// @notice Everything that parties can do to six channels, and books of our own beside the escrow's.
contract ChannelEscrowHandler is ChannelEscrowFixture {
    struct Signed {
        uint128 ceiling;
        bytes signature;
    }

    struct Books {
        uint128 balance;
        uint128 claimed;
        uint128 ceiling;
    }

    address public constant SECOND_RECEIVER = address(0xcafe);

    MockToken public secondToken;
    mapping(uint256 which => Books) public books;
    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public givenBack;
    mapping(address receiver => mapping(address token => uint256)) public claimed;
    mapping(address receiver => mapping(address token => uint256)) public settled;

    IChannelEscrow.ChannelConfig[] private _configs;
    mapping(uint256 which => Signed[]) private _signed;

    constructor() {
        setUp();
        secondToken = new MockToken();
        for (uint256 i = 0; i < 6; ++i) {
            IChannelEscrow.ChannelConfig memory config = _config(bytes32(i));
            if (i == 1 || i == 4) config.token = address(secondToken);
            if (i == 2 || i == 4) config.receiver = SECOND_RECEIVER;
            if (i == 3) config.payerAuthorizer = address(0);
            if (i == 5) {
                config.payer = address(new ContractWallet(payer));
                config.payerAuthorizer = address(0);
            }
            MockToken(config.token).mint(config.payer, type(uint96).max);
            vm.prank(config.payer);
            MockToken(config.token).approve(address(escrow), type(uint256).max);
            _configs.push(config);
        }
    }

    function deposit(uint256 which, uint128 amount) external {
        which %= _configs.length;
        amount = uint128(_within(amount, 1, DEPOSIT));
        _deposit(_configs[which], amount);
        books[which].balance += amount;
        paidIn[_configs[which].token] += amount;
    }

    /// @dev Payers sign off chain as they like, also more than they have deposited.
    function sign(uint256 which, uint128 step) external {
        which %= _configs.length;
        uint128 ceiling = books[which].ceiling + uint128(_within(step, 1, DEPOSIT / 2));
        books[which].ceiling = ceiling;
        uint256 key = _configs[which].payerAuthorizer == address(0) ? payerKey : payerAuthorizerKey;
        bytes32 digest = escrow.getVoucherDigest(escrow.getChannelId(_configs[which]), ceiling);
        _signed[which].push(Signed({ceiling: ceiling, signature: _sign(key, digest)}));
    }

    /// @dev Any voucher that was ever signed, for any total up to it: old ones and replays too.
    function claim(uint256 which, uint256 voucher, uint128 total, bool bySignature) external {
        which %= _configs.length;
        if (_signed[which].length == 0) return;
        voucher %= _signed[which].length;
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_rowOf(which, voucher, total));
        if (rows[0].totalClaimed > books[which].balance) {
            vm.prank(receiverAuthorizer);
            vm.expectRevert(IChannelEscrow.ClaimExceedsBalance.selector);
            escrow.claim(rows);
            return;
        }
        _claimRows(rows, bySignature);
        _book(which, rows[0].totalClaimed);
    }

    /// @dev Every channel's newest voucher in one call, one of them twice.
    function claimAll() external {
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](_configs.length + 1);
        for (uint256 i = 0; i < rows.length; ++i) {
            uint256 which = i % _configs.length;
            if (_signed[which].length == 0) return;
            rows[i] = _rowOf(which, _signed[which].length - 1, type(uint128).max);
            if (rows[i].totalClaimed > books[which].balance) rows[i].totalClaimed = books[which].balance;
        }
        _claimRows(rows, true);
        for (uint256 i = 0; i < _configs.length; ++i) {
            _book(i, rows[i].totalClaimed);
        }
    }

    /// @dev A voucher of one channel on another, or with another amount.
    function forge(uint256 which, uint256 other, uint128 more) external {
        which %= _configs.length;
        other %= _configs.length;
        if (_signed[which].length == 0) return;
        IChannelEscrow.VoucherClaim memory row = _rowOf(which, _signed[which].length - 1, type(uint128).max);
        if (which == other) {
            row.voucher.maxClaimableAmount += uint128(_within(more, 1, DEPOSIT));
            row.totalClaimed = row.voucher.maxClaimableAmount;
        } else {
            row.voucher.channel = _configs[other];
        }
        if (row.totalClaimed <= books[other].claimed || row.totalClaimed > books[other].balance) return;
        vm.prank(row.voucher.channel.receiver);
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.claim(_rows(row));
    }

    function settle(uint256 which) external {
        IChannelEscrow.ChannelConfig memory config = _configs[which % _configs.length];
        escrow.settle(config.receiver, config.token);
        settled[config.receiver][config.token] = claimed[config.receiver][config.token];
    }

    function refund(uint256 which, uint128 amount, bool bySignature) external {
        which %= _configs.length;
        IChannelEscrow.ChannelConfig memory config = _configs[which];
        amount = uint128(_within(amount, 1, DEPOSIT));
        if (bySignature) {
            bytes32 channelId = escrow.getChannelId(config);
            uint256 nonce = escrow.refundNonce(channelId);
            bytes32 digest = escrow.getRefundDigest(channelId, nonce, amount);
            escrow.refundWithSignature(config, amount, nonce, _sign(receiverAuthorizerKey, digest));
        } else {
            vm.prank(config.receiver);
            escrow.refund(config, amount);
        }
        _bookBack(which, amount);
    }

    function initiate(uint256 which, uint128 amount) external {
        which %= _configs.length;
        uint128 available = books[which].balance - books[which].claimed;
        (, uint40 since) = escrow.pendingWithdrawals(escrow.getChannelId(_configs[which]));
        if (available == 0 || since != 0) return;
        vm.prank(_configs[which].payer);
        escrow.initiateWithdraw(_configs[which], uint128(_within(amount, 1, available)));
    }

    function finalize(uint256 which) public {
        which %= _configs.length;
        (uint128 amount, uint40 since) = escrow.pendingWithdrawals(escrow.getChannelId(_configs[which]));
        if (since == 0) return;
        vm.prank(_configs[which].payer);
        if (block.timestamp < since + DELAY_S) {
            vm.expectRevert(IChannelEscrow.WithdrawDelayNotElapsed.selector);
            escrow.finalizeWithdraw(_configs[which]);
            return;
        }
        escrow.finalizeWithdraw(_configs[which]);
        _bookBack(which, amount);
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + _within(time, 1, 2 * DELAY_S));
    }

    function size() external view returns (uint256) {
        return _configs.length;
    }

    function configAt(uint256 which) external view returns (IChannelEscrow.ChannelConfig memory) {
        return _configs[which];
    }

    function contracts() external view returns (ChannelEscrow, MockToken, address) {
        return (escrow, token, receiver);
    }

    function _rowOf(uint256 which, uint256 voucher, uint128 total)
        private
        view
        returns (IChannelEscrow.VoucherClaim memory)
    {
        Signed memory signed = _signed[which][voucher];
        return IChannelEscrow.VoucherClaim({
            voucher: IChannelEscrow.Voucher({channel: _configs[which], maxClaimableAmount: signed.ceiling}),
            signature: signed.signature,
            totalClaimed: total < signed.ceiling ? total : signed.ceiling
        });
    }

    function _claimRows(IChannelEscrow.VoucherClaim[] memory rows, bool bySignature) private {
        if (bySignature) {
            bytes32 digest = escrow.getClaimBatchDigest(rows);
            escrow.claimWithSignature(rows, _sign(receiverAuthorizerKey, digest));
        } else {
            vm.prank(receiverAuthorizer);
            escrow.claim(rows);
        }
    }

    function _book(uint256 which, uint128 total) private {
        uint128 before = books[which].claimed;
        if (total <= before) return;
        books[which].claimed = total;
        claimed[_configs[which].receiver][_configs[which].token] += total - before;
    }

    function _bookBack(uint256 which, uint128 amount) private {
        uint128 available = books[which].balance - books[which].claimed;
        if (amount > available) amount = available;
        books[which].balance -= amount;
        givenBack[_configs[which].token] += amount;
    }
}

/// @notice Whatever parties do, the escrow keeps exactly the books that they could keep themselves.
contract ChannelEscrowInvariantTest is ChannelEscrowFixture {
    ChannelEscrowHandler private _handler;
    address[2] private _tokens;
    address[2] private _receivers;

    function setUp() public override {
        _handler = new ChannelEscrowHandler();
        (escrow, token, receiver) = _handler.contracts();
        _tokens = [address(token), address(_handler.secondToken())];
        _receivers = [receiver, _handler.SECOND_RECEIVER()];
        bytes4[] memory steps = new bytes4[](10);
        steps[0] = ChannelEscrowHandler.deposit.selector;
        steps[1] = ChannelEscrowHandler.sign.selector;
        steps[2] = ChannelEscrowHandler.claim.selector;
        steps[3] = ChannelEscrowHandler.claimAll.selector;
        steps[4] = ChannelEscrowHandler.forge.selector;
        steps[5] = ChannelEscrowHandler.settle.selector;
        steps[6] = ChannelEscrowHandler.refund.selector;
        steps[7] = ChannelEscrowHandler.initiate.selector;
        steps[8] = ChannelEscrowHandler.finalize.selector;
        steps[9] = ChannelEscrowHandler.pass.selector;
        _target(address(_handler), steps);
    }

    /// @dev Money in = paid to receivers + given back + held; and what is held is all owed to someone.
    function invariant_money_in_is_money_out_and_money_held() external view {
        for (uint256 i = 0; i < 2; ++i) {
            address paid = _tokens[i];
            uint256 held = MockToken(paid).balanceOf(address(escrow));
            uint256 out = _handler.givenBack(paid);
            uint256 owed = 0;
            for (uint256 j = 0; j < 2; ++j) {
                out += _handler.settled(_receivers[j], paid);
                (uint128 claimed, uint128 settled) = escrow.receivers(_receivers[j], paid);
                owed += claimed - settled;
            }
            for (uint256 which = 0; which < _handler.size(); ++which) {
                if (_handler.configAt(which).token != paid) continue;
                (uint128 balance, uint128 claimed) =
                    escrow.channels(escrow.getChannelId(_handler.configAt(which)));
                owed += balance - claimed;
            }
            _equal(_handler.paidIn(paid), out + held, "in = settled + given back + held");
            _equal(owed, held, "owed = held");
        }
    }

    /// @dev No voucher pays twice, and none more than was signed.
    function invariant_channels_are_as_booked() external view {
        for (uint256 which = 0; which < _handler.size(); ++which) {
            (uint128 balance, uint128 claimed, uint128 ceiling) = _handler.books(which);
            _channel(_handler.configAt(which), balance, claimed);
            _true(claimed <= ceiling, "claimed more than was signed");
        }
    }

    function invariant_receivers_are_as_booked() external view {
        for (uint256 i = 0; i < 2; ++i) {
            for (uint256 j = 0; j < 2; ++j) {
                (uint128 claimed, uint128 settled) = escrow.receivers(_receivers[j], _tokens[i]);
                _equal(claimed, _handler.claimed(_receivers[j], _tokens[i]), "claimed");
                _equal(settled, _handler.settled(_receivers[j], _tokens[i]), "settled");
                uint256 paid = MockToken(_tokens[i]).balanceOf(_receivers[j]);
                _equal(paid, settled, "paid");
            }
        }
    }

    /// @dev Nothing is frozen: at any point payers can get what is not claimed, receivers what is.
    function afterInvariant() external {
        _finalizeAll(); // withdrawals that are under way
        for (uint256 which = 0; which < _handler.size(); ++which) {
            IChannelEscrow.ChannelConfig memory config = _handler.configAt(which);
            (uint128 balance, uint128 claimed) = escrow.channels(escrow.getChannelId(config));
            if (balance == claimed) continue;
            vm.prank(config.payer);
            escrow.initiateWithdraw(config, balance - claimed);
        }
        _finalizeAll();
        for (uint256 which = 0; which < _handler.size(); ++which) {
            escrow.settle(_handler.configAt(which).receiver, _handler.configAt(which).token);
        }
        _equal(token.balanceOf(address(escrow)), 0, "first token kept for ever");
        _equal(_handler.secondToken().balanceOf(address(escrow)), 0, "second token kept for ever");
    }

    function _finalizeAll() private {
        vm.warp(block.timestamp + DELAY_S);
        for (uint256 which = 0; which < _handler.size(); ++which) {
            _handler.finalize(which);
        }
    }
}
